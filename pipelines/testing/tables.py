"""What the stores in memory share: their rows, behind one lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from config.policy import PassagePolicy
from pipelines.model import TranscriptState
from pipelines.ports import BATCHED, FactReport, TranscriptClaim

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from pipelines.model import Fact, FactId, Memory, MemoryId, Owner, ReceiptId, Transcript
    from pipelines.plan import Change, Settlement
    from pipelines.ports import Review

OPEN_STATES = frozenset({TranscriptState.QUEUED, TranscriptState.DISTILLING})
WAITING_STATES = frozenset({TranscriptState.QUEUED, TranscriptState.PARKED})


@dataclass(slots=True)
class TranscriptRow:
    """A transcript on its road."""

    transcript: Transcript
    state: TranscriptState
    due_at: datetime
    received_at: datetime
    attempts: int = 0
    fence: int = 0
    lease_until: datetime | None = None
    reason: str | None = None
    last_error: str | None = None
    finished_at: datetime | None = None
    is_alone: bool = False
    batch: UUID | None = None

    @property
    def shown_state(self) -> str:
        """Its state; one that waits for a batch has a name of its own."""
        is_batched = self.state is TranscriptState.QUEUED and self.reason == BATCHED
        return BATCHED if is_batched else self.state.value

    def is_claimable(self, now: datetime) -> bool:
        """Whether it is due and nobody has it."""
        is_open = self.state in OPEN_STATES or self.state is TranscriptState.PARKED
        return is_open and self.due_at <= now and not _is_leased(self, now)

    def lease(self, until: datetime) -> TranscriptClaim:
        """Give it to a worker; the attempt counts."""
        self.is_alone |= self.state is TranscriptState.DISTILLING
        self.state, self.reason, self.lease_until = TranscriptState.DISTILLING, None, until
        self.attempts += 1
        self.fence += 1
        return TranscriptClaim(self.transcript, self.fence, self.attempts, self.is_alone)


@dataclass(slots=True)
class OwnerRow:
    """What is due for a user."""

    due_at: datetime | None = None
    lease_until: datetime | None = None
    fence: int = 0
    generation: int = 0
    attempts: int = 0
    last_error: str | None = None

    def is_claimable(self, now: datetime) -> bool:
        """Whether something is due and nobody has them."""
        is_due = self.due_at is not None and self.due_at <= now
        return is_due and not _is_leased(self, now)


@dataclass(slots=True)
class FactRow:
    """A fact, and what became of it."""

    fact: Fact
    settlement: Settlement

    def report(self) -> FactReport:
        """The fact as the status of its transcript shows it."""
        return FactReport(
            self.fact.statement,
            self.fact.kind.value,
            self.settlement.outcome.value,
            self.settlement.reason,
            self.settlement.memory_id,
        )


@dataclass(slots=True)
class InMemoryTables:
    """All rows; the stores that share them are its subclasses, and add no field.

    ``events`` holds every change ever committed, in order. Backfill is first due after
    ``backfill_wait``: until then it can be put in a batch.
    """

    events: list[tuple[Change, datetime]] = field(default_factory=list)
    backfill_wait: timedelta = timedelta()
    passages: PassagePolicy = field(default_factory=PassagePolicy)
    _transcripts: dict[ReceiptId, TranscriptRow] = field(default_factory=dict)
    _owners: dict[Owner, OwnerRow] = field(default_factory=dict)
    _facts: dict[FactId, FactRow] = field(default_factory=dict)
    _refusals: dict[ReceiptId, list[FactReport]] = field(default_factory=dict)
    _memories: dict[MemoryId, Memory] = field(default_factory=dict)
    _outbox: dict[MemoryId, None] = field(default_factory=dict)
    _reviews: dict[Owner, dict[MemoryId, Review]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def _mark_due(self, owner: Owner, now: datetime) -> None:
        row = self._owners.setdefault(owner, OwnerRow())
        row.due_at = min(row.due_at or now, now)
        row.generation += 1


def _is_leased(row: TranscriptRow | OwnerRow, now: datetime) -> bool:
    return row.lease_until is not None and row.lease_until > now
