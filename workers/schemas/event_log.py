"""Answers about the event log."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
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


class ArchivedFileShown(Answer):
    """A file in the archive, as its manifest describes it."""

    key: str
    kind: Literal["events", "sessions"]
    user_id: str
    rows: int
    size: int = Field(description="Bytes as they are kept.")
    sha256: str
    first: str = Field(description="Number of the first event, or when the first session ended.")
    last: str
    written_at: datetime


class ArchivedFiles(Answer):
    """What the archive has."""

    files: list[ArchivedFileShown]


class EventsRestored(Answer):
    """How many events came back."""

    restored: int
