"""Answers about running sessions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field

from pipelines.model import Role
from workers.schemas.answers import Answer


class ContextCount(Answer):
    """How many messages the conversation holds now."""

    messages: int = Field(ge=0)


class MessageShown(Answer):
    """A message as it is kept, without secrets."""

    role: Role
    content: str
    name: str | None
    created_at: datetime


class ContextShown(Answer):
    """The latest messages, in the order in which they were said."""

    messages: list[MessageShown]


class EpisodeKept(Answer):
    """What happened, as it is kept, without secrets."""

    content: str


class EpisodeShown(Answer):
    """What happened in a session, as it is kept, without secrets."""

    session_id: str
    content: str
    created_at: datetime


class Episodes(Answer):
    """The user's episodes of the last 24 hours, the newest first."""

    episodes: list[EpisodeShown]


class StateKept(Answer):
    """It is kept for so long, and each use begins that time anew."""

    lifetime_seconds: float


class ToolStates(Answer):
    """What the tools have that were asked for; those without anything are left out."""

    states: dict[str, Any]


class StateShown(Answer):
    """What the session can be resumed from, as it was given."""

    state: Any


class UseCounted(Answer):
    """Whether the use is within the limit, and when the next one is allowed."""

    allowed: bool
    used: int = Field(ge=0)
    retry_after_seconds: float = Field(ge=0)


class SummaryShown(Answer):
    """What stands in the place of so many items that were folded away."""

    content: str
    tokens: int
    folded: int
    summarised_by: str
    created_at: datetime


class ItemShown(Answer):
    """One thing that the agent holds in mind, word for word but for secrets."""

    content: str
    tokens: int
    created_at: datetime


class WorkingShown(Answer):
    """A working memory: what was put more briefly, and the items after it, the oldest first."""

    summary: SummaryShown | None
    items: list[ItemShown]
    tokens: int
    budget_tokens: int
