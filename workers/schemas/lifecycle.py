"""Answers about how long memories are told."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from pipelines.model import Kind
from workers.schemas.answers import Answer, Counts
from workers.schemas.jobs import JobTurn


class StrengthPart(Answer):
    """A bar of the histogram."""

    start: float = Field(alias="from", description="The next bar's is where it ends.")
    memories: int


class FadedShown(Answer):
    """A memory that would be evicted now, and why."""

    id: UUID
    user_id: str
    statement: str
    kind: Kind
    importance: float
    strength: float
    reason: str


class Fading(Answer):
    """How strong the memories of a tenant are, and which would go."""

    strengths: list[StrengthPart]
    fading: Counts
    spared: int = Field(description="Faded, but pinned or under a legal hold.")
    evicted: int = Field(description="Evicted before, and to be had back.")
    faded: list[FadedShown]


class DecayTurn(JobTurn):
    """What a turn came to."""

    position: str | None = Field(description="Where the next turn goes on.")


class HoldShown(Answer):
    """A legal hold."""

    id: UUID
    user_id: str
    reason: str
    placed_at: datetime
    placed_by: str
    released_at: datetime | None
    released_by: str | None


class Holds(Answer):
    """A page, the newest first; ``next`` is the ``after`` of the following one."""

    holds: list[HoldShown]
    next: UUID | None
