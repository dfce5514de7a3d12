"""Inbox, memories, outbox and work table in memory, behind one lock, under the same contracts."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipelines.errors import LeaseLost, NotFound, VersionConflict
from pipelines.model import (
    Fact,
    FactId,
    FactOutcome,
    Memory,
    MemoryId,
    MemoryState,
    Owner,
    ReceiptId,
    Transcript,
    TranscriptState,
    receipt_id,
)
from pipelines.plan import Settlement
from pipelines.ports import (
    Accepted,
    DueWork,
    FactReport,
    IndexPoint,
    OwnerClaim,
    Projection,
    Status,
    TranscriptClaim,
)
from pipelines.stages.dedup import statement_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime, timedelta

    from pipelines.model import Refusal, Slot
    from pipelines.plan import Change, Plan

OPEN_STATES = frozenset({TranscriptState.QUEUED, TranscriptState.DISTILLING})


@dataclass(slots=True)
class _TranscriptRow:
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


@dataclass(slots=True)
class _OwnerRow:
    due_at: datetime | None = None
    lease_until: datetime | None = None
    fence: int = 0
    generation: int = 0
    attempts: int = 0


@dataclass(slots=True)
class _FactRow:
    fact: Fact
    settlement: Settlement


@dataclass(slots=True)
class InMemoryStores:
    """``Inbox``, ``MemoryStore``, ``Outbox`` and ``WorkTable`` over shared dictionaries.

    ``events`` holds every change ever committed, in order.
    """

    events: list[Change] = field(default_factory=list)
    _transcripts: dict[ReceiptId, _TranscriptRow] = field(default_factory=dict)
    _owners: dict[Owner, _OwnerRow] = field(default_factory=dict)
    _facts: dict[FactId, _FactRow] = field(default_factory=dict)
    _refusals: dict[ReceiptId, list[FactReport]] = field(default_factory=dict)
    _memories: dict[MemoryId, Memory] = field(default_factory=dict)
    _outbox: dict[MemoryId, None] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    # ---- Inbox --------------------------------------------------------------------------------

    def accept(self, transcripts: Sequence[Transcript], now: datetime) -> list[Accepted]:
        with self._lock:
            return [self._accept(item, now) for item in transcripts]

    def _accept(self, item: Transcript, now: datetime) -> Accepted:
        row = self._transcripts.get(item.id)
        if row is None:
            self._transcripts[item.id] = _TranscriptRow(item, TranscriptState.QUEUED, now, now)
            return Accepted(item.id, is_duplicate=False)
        if row.transcript.content_hash == item.content_hash:
            return Accepted(item.id, is_duplicate=True)
        receipt = receipt_id(item.owner, f"{item.idempotency_key}/{item.content_hash}")
        self._bury_row(replace(item, id=receipt), "idempotency_key: used before", now)
        return Accepted(receipt, is_duplicate=False)

    def bury(self, owner: Owner, payload: str, reason: str, now: datetime) -> ReceiptId:
        digest = hashlib.sha256(payload.encode("utf-8", "replace")).hexdigest()
        key = f"unreadable/{digest}"
        receipt = receipt_id(owner, key)
        with self._lock:
            self._bury_row(Transcript(receipt, owner, "", now, (), key, digest), reason, now)
        return receipt

    def _bury_row(self, item: Transcript, reason: str, now: datetime) -> None:
        row = _TranscriptRow(item, TranscriptState.DEAD, now, now, reason=reason, finished_at=now)
        self._transcripts.setdefault(item.id, row)

    def claim_transcript(
        self, receipt: ReceiptId, now: datetime, lease: timedelta
    ) -> TranscriptClaim | None:
        with self._lock:
            row = self._transcripts.get(receipt)
            if row is None or not _is_claimable(row, now):
                return None
            row.state = TranscriptState.DISTILLING
            row.attempts += 1
            row.fence += 1
            row.lease_until = now + lease
            return TranscriptClaim(row.transcript, row.fence, row.attempts)

    def extend_lease(self, claim: TranscriptClaim, until: datetime) -> None:
        with self._lock:
            self._held(claim).lease_until = until

    def commit_distilled(
        self,
        claim: TranscriptClaim,
        facts: Sequence[Fact],
        refusals: Sequence[Refusal],
        now: datetime,
    ) -> None:
        with self._lock:
            row = self._leave_lease(claim)
            row.state = TranscriptState.DISTILLED if facts else TranscriptState.DONE
            row.finished_at = None if facts else now
            for fact in facts:
                self._facts[fact.id] = _FactRow(fact, Settlement(FactOutcome.PENDING))
            self._refusals[claim.transcript.id] = [
                FactReport(
                    item.draft.statement,
                    item.draft.kind.value,
                    FactOutcome.REFUSED.value,
                    item.reason,
                    None,
                )
                for item in refusals
            ]
            self._mark_due(claim.transcript.owner, now)

    def postpone(self, claim: TranscriptClaim, due_at: datetime, error: str) -> None:
        with self._lock:
            row = self._leave_lease(claim)
            row.state, row.due_at, row.last_error = TranscriptState.QUEUED, due_at, error

    def dead_letter(self, claim: TranscriptClaim, reason: str, error: str, now: datetime) -> None:
        with self._lock:
            row = self._leave_lease(claim)
            row.state, row.finished_at = TranscriptState.DEAD, now
            row.reason, row.last_error = reason, error
            self._mark_due(claim.transcript.owner, now)

    def status(self, tenant_id: str, receipt: ReceiptId) -> Status:
        with self._lock:
            row = self._transcripts.get(receipt)
            if row is None or row.transcript.owner.tenant_id != tenant_id:
                raise NotFound(f"no transcript has the receipt {receipt}")
            reports = self._reports(receipt)
            counts: dict[str, int] = {}
            for report in reports:
                counts[report.outcome] = counts.get(report.outcome, 0) + 1
            return Status(
                receipt=receipt,
                session_id=row.transcript.session_id,
                state=row.state,
                attempts=row.attempts,
                counts=counts,
                redactions=row.transcript.redactions,
                reason=row.reason,
                last_error=row.last_error,
                received_at=row.received_at,
                finished_at=row.finished_at,
                facts=tuple(reports),
            )

    def states(self, tenant_id: str, receipts: Collection[ReceiptId]) -> dict[str, int]:
        result: dict[str, int] = {}
        with self._lock:
            for receipt in set(receipts):
                row = self._transcripts.get(receipt)
                is_known = row is not None and row.transcript.owner.tenant_id == tenant_id
                name = row.state.value if row is not None and is_known else "unknown"
                result[name] = result.get(name, 0) + 1
        return result

    # ---- MemoryStore --------------------------------------------------------------------------

    def claim_owner(self, owner: Owner, now: datetime, lease: timedelta) -> OwnerClaim | None:
        with self._lock:
            row = self._owners.get(owner)
            if row is None or row.due_at is None or row.due_at > now or _is_leased(row, now):
                return None
            row.fence += 1
            row.attempts += 1
            row.lease_until = now + lease
            return OwnerClaim(owner, row.fence, row.attempts, row.generation)

    def release_owner(
        self, claim: OwnerClaim, due_at: datetime | None, now: datetime, error: str | None = None
    ) -> bool:
        with self._lock:
            row = self._owners[claim.owner]
            if row.fence != claim.fence:
                return False
            is_unchanged = row.generation == claim.generation
            row.lease_until = None
            row.due_at = due_at if is_unchanged else now
            row.attempts = row.attempts if error else 0
            return not is_unchanged

    def pending_facts(self, owner: Owner, limit: int) -> list[Fact]:
        with self._lock:
            rows = [row for row in self._facts.values() if row.fact.owner == owner]
        pending = [row.fact for row in rows if row.settlement.outcome is FactOutcome.PENDING]
        return sorted(pending, key=lambda fact: fact.order)[:limit]

    def earliest_undistilled(self, owner: Owner, received_after: datetime) -> datetime | None:
        with self._lock:
            waiting = [
                row.transcript.ended_at
                for row in self._transcripts.values()
                if row.transcript.owner == owner
                and row.state in OPEN_STATES
                and row.received_at > received_after
            ]
        return min(waiting, default=None)

    def find_candidates(
        self, owner: Owner, statements: Collection[str], slots: Collection[Slot]
    ) -> list[Memory]:
        keys = {statement_key(statement) for statement in statements}
        with self._lock:
            return [
                memory
                for memory in self._memories.values()
                if memory.owner == owner
                and (
                    memory.slot in slots
                    or (
                        memory.state is MemoryState.ACTIVE
                        and (statement_key(memory.statement) in keys or memory.id in self._outbox)
                    )
                )
            ]

    def load_memories(self, owner: Owner, ids: Collection[MemoryId]) -> list[Memory]:
        with self._lock:
            found = [self._memories[key] for key in set(ids) if key in self._memories]
        return [memory for memory in found if memory.owner == owner]

    def commit_plan(self, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
        with self._lock:
            row = self._owners.get(claim.owner)
            if row is None or row.fence != claim.fence:
                raise LeaseLost(f"user lease: fence {claim.fence} has moved on")
            self._check_versions(plan)
            self._memories.update(plan.final_states())
            self._outbox.update(dict.fromkeys(plan.final_states()))
            self.events.extend(plan.changes)
            for key, settlement in plan.settled.items():
                self._facts[key].settlement = settlement
            self._finish(now)

    def export_memories(
        self, tenant_id: str, user_id: str | None, after: MemoryId | None, limit: int
    ) -> list[Memory]:
        with self._lock:
            found = [
                memory
                for memory in self._memories.values()
                if memory.owner.tenant_id == tenant_id
                and user_id in {None, memory.owner.user_id}
                and (after is None or memory.id > after)
            ]
        return sorted(found, key=lambda memory: memory.id)[:limit]

    # ---- Outbox and WorkTable -----------------------------------------------------------------

    @contextmanager
    def take(self, limit: int) -> Iterator[Projection]:
        with self._lock:
            waiting = list(self._outbox)[:limit]
            for key in waiting:
                del self._outbox[key]
            rows = [self._memories[key] for key in waiting]
        is_projected = False
        try:
            active = [row for row in rows if row.state is MemoryState.ACTIVE]
            removals = tuple(row.id for row in rows if row.state is not MemoryState.ACTIVE)
            yield Projection(tuple(map(_as_point, active)), removals)
            is_projected = True
        finally:
            if not is_projected:
                with self._lock:
                    self._outbox.update(dict.fromkeys(waiting))

    def find_due(self, now: datetime, limit: int) -> DueWork:
        with self._lock:
            rows = sorted(self._transcripts.values(), key=lambda row: row.due_at)
            due = [row.transcript.id for row in rows if _is_claimable(row, now)]
            owners = [
                owner
                for owner, row in self._owners.items()
                if row.due_at is not None and row.due_at <= now and not _is_leased(row, now)
            ]
            return DueWork(tuple(due[:limit]), tuple(owners[:limit]), bool(self._outbox))

    # ---- what they share ----------------------------------------------------------------------

    def _leave_lease(self, claim: TranscriptClaim) -> _TranscriptRow:
        row = self._held(claim)
        row.lease_until = None
        return row

    def _held(self, claim: TranscriptClaim) -> _TranscriptRow:
        row = self._transcripts[claim.transcript.id]
        if row.fence != claim.fence or row.state is not TranscriptState.DISTILLING:
            raise LeaseLost(f"transcript {claim.transcript.id}: fence has moved on")
        return row

    def _mark_due(self, owner: Owner, now: datetime) -> None:
        row = self._owners.setdefault(owner, _OwnerRow())
        row.due_at = min(row.due_at or now, now)
        row.generation += 1

    def _reports(self, receipt: ReceiptId) -> list[FactReport]:
        rows = [row for row in self._facts.values() if row.fact.transcript_id == receipt]
        rows.sort(key=lambda row: row.fact.ordinal)
        kept = [
            FactReport(
                row.fact.statement,
                row.fact.kind.value,
                row.settlement.outcome.value,
                row.settlement.reason,
                row.settlement.memory_id,
            )
            for row in rows
        ]
        return kept + self._refusals.get(receipt, [])

    def _check_versions(self, plan: Plan) -> None:
        for key in plan.final_states():
            stored = self._memories.get(key)
            if (stored.version if stored else None) != plan.read_versions.get(key):
                raise VersionConflict(f"memory {key}: version has moved on")

    def _finish(self, now: datetime) -> None:
        pending = {
            row.fact.transcript_id
            for row in self._facts.values()
            if row.settlement.outcome is FactOutcome.PENDING
        }
        for receipt, row in self._transcripts.items():
            if row.state is TranscriptState.DISTILLED and receipt not in pending:
                row.state, row.finished_at = TranscriptState.DONE, now


def _is_claimable(row: _TranscriptRow, now: datetime) -> bool:
    return row.state in OPEN_STATES and row.due_at <= now and not _is_leased(row, now)


def _is_leased(row: _TranscriptRow | _OwnerRow, now: datetime) -> bool:
    return row.lease_until is not None and row.lease_until > now


def _as_point(memory: Memory) -> IndexPoint:
    return IndexPoint(
        memory_id=memory.id,
        owner=memory.owner,
        scope=memory.scope,
        session_id=memory.session_id,
        version=memory.version,
        vector=memory.vector,
        text=memory.statement,
    )
