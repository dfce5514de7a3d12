"""Answers about erasing, the index, and dead letters."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pydantic import Field

from pipelines.model import Lane
from pipelines.ports import Difference, ErasureState, Purpose
from workers.schemas.answers import Answer, Counts


class ErasureShown(Answer):
    """The receipt of an erasure: no name is in it, and its digest covers all the rest."""

    id: UUID
    tenant_id: str
    subject: str
    state: ErasureState
    requested_at: datetime
    requested_by: str
    deadline_at: datetime
    purged_at: datetime | None
    verified_at: datetime | None
    removed: Counts
    found: Counts
    last_error: str | None
    digest: str


class Erasures(Answer):
    """A page, the newest first; ``next`` is the ``after`` of the following one."""

    erasures: list[ErasureShown]
    next: UUID | None


class Queue(Answer):
    """Whether every wake-up has its row, and every row its wake-up."""

    error: str | None
    entries: int | None = None
    stranded: int | None = None
    due: Counts | None = None
    woken: Counts | None = None


class Reconciled(Answer):
    """What a turn found; ``next`` asks for the rest."""

    compared: int
    found: dict[Difference, int]
    examples: dict[Difference, list[UUID]]
    repaired: int
    next: UUID | None
    queue: Queue | None


class RebuildShown(Answer):
    """How far a rebuild of the index is."""

    token: str
    state: str = Field(examples=["filling"])
    started_at: datetime
    compared: int
    expected: int


class Letter(Answer):
    """A dead letter as its tenant sees it."""

    receipt: UUID
    user_id: str
    session_id: str
    lane: Lane
    reason: str
    last_error: str | None
    attempts: int
    deaths: int
    received_at: datetime
    died_at: datetime
    is_readable: bool
    copy_of: UUID | None


class Letters(Answer):
    """A page; ``next`` is the ``after`` of the following one."""

    dead: list[Letter]
    next: str | None


class ReplyShown(Answer):
    """What a model said about it."""

    purpose: Purpose
    model: str
    created_at: datetime
    receipts: list[UUID]
    text: str


class Autopsy(Letter):
    """A dead letter with what the model said, and what could not be read."""

    payload: str | None
    replies: list[ReplyShown]


class Handled(Answer):
    """What became of those that were meant; ``next`` and ``until`` ask for the rest."""

    done: int
    kept: Counts
    others: Counts
    next: str | None
    until: datetime | None
