"""What the stores in memory share: their rows, behind one lock."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from config.retrieval import PassagePolicy
from pipelines.model import TranscriptState
from pipelines.ports import BATCHED, FactReport, Ticket, TranscriptClaim

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from pipelines.model import Fact, FactId, Memory, MemoryId, Owner, ReceiptId, Transcript
    from pipelines.plan import Change, Settlement
    from pipelines.ports import Review

OPEN_STATES = frozenset({TranscriptState.QUEUED, TranscriptState.DISTILLING})
# Between two turns of one user.
GAP = timedelta(seconds=1)
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
    deaths: int = 0
    turn_at: datetime | None = None
    payload: str | None = None

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
        self.deaths += self.state is TranscriptState.DISTILLING
        self.state, self.reason, self.lease_until = TranscriptState.DISTILLING, None, until
        self.attempts += 1
        self.fence += 1
        return TranscriptClaim(
            self.transcript, self.fence, self.attempts, self.is_alone, self.deaths
        )

    def wait(self, state: TranscriptState, due_at: datetime) -> None:
        """Leave the line until then."""
        self.state, self.due_at, self.turn_at = state, due_at, None


@dataclass(slots=True)
class OwnerRow:
    """What is due for a user."""

    due_at: datetime | None = None
    lease_until: datetime | None = None
    fence: int = 0
    generation: int = 0
    attempts: int = 0
    deaths: int = 0
    last_error: str | None = None

    def is_claimable(self, now: datetime) -> bool:
        """Whether something is due and nobody has them."""
        is_due = self.due_at is not None and self.due_at <= now
        return is_due and not _is_leased(self, now)


@dataclass(slots=True)
class OutboxRow:
    """A memory that the index lacks."""

    due_at: datetime
    change: int = 0
    lease_until: datetime | None = None
    fence: int = 0
    attempts: int = 0
    last_error: str | None = None

    def is_due(self, now: datetime) -> bool:
        """Whether it may be projected, and nobody does."""
        return self.due_at <= now and not _is_leased(self, now)

    def lease(self, key: MemoryId, until: datetime) -> Ticket:
        """Give it to a worker; the attempt counts."""
        self.lease_until = until
        self.fence += 1
        self.attempts += 1
        return Ticket(key, self.change, self.fence, self.attempts)

    def wait_anew(self, now: datetime) -> None:
        """The memory has changed again."""
        self.due_at, self.attempts, self.last_error = now, 0, None
        self.change += 1


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
    _outbox: dict[MemoryId, OutboxRow] = field(default_factory=dict)
    _reviews: dict[Owner, dict[MemoryId, Review]] = field(default_factory=dict)
    _forgotten: set[tuple[MemoryId, datetime]] = field(default_factory=set)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def rows(self) -> list[TranscriptRow]:
        """The rows of all transcripts, to be changed."""
        with self._lock:
            return list(self._transcripts.values())

    def row(self, receipt: ReceiptId) -> TranscriptRow:
        """The row of a transcript, to be changed."""
        with self._lock:
            return self._transcripts[receipt]

    def delete_row(self, receipt: ReceiptId) -> None:
        """Forget a transcript."""
        with self._lock:
            del self._transcripts[receipt]

    def _line_up(self, now: datetime) -> int:
        waiting = [row for row in self._transcripts.values() if row.state in WAITING_STATES]
        ripe = [row for row in waiting if row.turn_at is None and row.due_at <= now]
        for row in sorted(ripe, key=lambda row: row.due_at):
            owner = row.transcript.owner
            turns = [
                other.turn_at + GAP
                for other in waiting
                if other.turn_at is not None and other.transcript.owner == owner
            ]
            row.turn_at = max([row.due_at, *turns])
        return len(ripe)

    def _enqueue(self, keys: Iterable[MemoryId], now: datetime) -> None:
        for key in keys:
            if key in self._outbox:
                self._outbox[key].wait_anew(now)
            else:
                self._outbox[key] = OutboxRow(now)

    def _mark_due(self, owner: Owner, now: datetime) -> None:
        row = self._owners.setdefault(owner, OwnerRow())
        row.due_at = min(row.due_at or now, now)
        row.generation += 1


def _is_leased(row: TranscriptRow | OwnerRow | OutboxRow, now: datetime) -> bool:
    return row.lease_until is not None and row.lease_until > now
