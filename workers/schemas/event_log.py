"""Answers about the event log."""

from __future__ import annotations

from uuid import UUID

from pydantic import Field

from workers.schemas.answers import Answer


class DivergenceShown(Answer):
    """A memory of which the tables say something else than the log."""

    user_id: str
    memory_id: UUID
    what: list[str] = Field(description="Fields, or `missing`, `surplus`, `evidence`.")


class EventsChecked(Answer):
    """What comparing some users came to."""

    users: int
    memories: int
    differences: list[DivergenceShown]
    next: str | None = Field(description="The `after` of the next part; null after the last one.")


class MemoriesRewritten(Answer):
    """What was written from the log."""

    written: int
    removed: int = Field(description="Memories that the log did not know.")
