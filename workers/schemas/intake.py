"""Answers about transcripts and about the process itself."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from pipelines.model import FactOutcome, Kind, TranscriptState
from pipelines.stages.keys import KeyScope
from workers.schemas.answers import Answer, Counts, Problem


class Health(Answer):
    """The process answers."""

    status: Literal["live"]


class CallerShown(Answer):
    """Whom a request acts for, and what it may do; a null user is any of the tenant's."""

    tenant_id: str
    user_id: str | None
    scopes: list[KeyScope]


class Dependency(Answer):
    """How a server stands, and how long ago that was looked at."""

    ok: bool
    problem: str | None
    age_seconds: float | None


class Backlog(Answer):
    """What waits."""

    oldest_due_seconds: float
    dead_letters: int
    overdue_erasures: int


class Readiness(Answer):
    """Whether requests can be served, and what is away."""

    status: str
    reason: str | None
    dependencies: dict[str, Dependency]
    backlog: Backlog | None


class Pushed(Answer):
    """A transcript is in the inbox; ``duplicate`` says that it was there before."""

    receipt: UUID
    duplicate: bool


class PushedLine(Answer):
    """What became of one line: a receipt, or what is wrong with it."""

    line: int = Field(ge=1)
    receipt: UUID | None = None
    duplicate: bool | None = None
    error: Problem | None = None


class PushedLines(Answer):
    """One result for each line that is not blank, in order."""

    results: list[PushedLine]


class FactReport(Answer):
    """A statement that was distilled, and what became of it."""

    statement: str
    kind: Kind
    outcome: FactOutcome
    reason: str | None
    memory_id: UUID | None


class Status(Answer):
    """Where a transcript stands."""

    receipt: UUID
    session_id: str
    state: TranscriptState
    attempts: int
    counts: Counts
    redactions: Counts
    reason: str | None
    last_error: str | None
    received_at: datetime
    finished_at: datetime | None
    due_at: datetime | None
    facts: list[FactReport]


class States(Answer):
    """How many receipts stand in each state."""

    states: Counts
