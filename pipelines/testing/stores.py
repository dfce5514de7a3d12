"""Inbox, memories, outbox and work table in memory, behind one lock, under the same contracts."""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from config.policy import PassagePolicy
from pipelines.errors import LeaseLost, NotFound, VersionConflict
from pipelines.model import (
    EVERYONE,
    Fact,
    FactId,
    FactOutcome,
    Lane,
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
    BATCHED,
    Accepted,
    DueWork,
    FactReport,
    IndexPoint,
    MemoryEvent,
    OwnerClaim,
    Projection,
    Status,
    TranscriptClaim,
)
from pipelines.stages.dedup import statement_key
from pipelines.stages.passage import places_around, read_passages

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime
    from uuid import UUID

    from pipelines.model import Refusal, Slot
    from pipelines.plan import Change, Plan

OPEN_STATES = frozenset({TranscriptState.QUEUED, TranscriptState.DISTILLING})
WAITING_STATES = frozenset({TranscriptState.QUEUED, TranscriptState.PARKED})


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
    is_alone: bool = False
    batch: UUID | None = None


@dataclass(slots=True)
class _OwnerRow:
    due_at: datetime | None = None
    lease_until: datetime | None = None
    fence: int = 0
    generation: int = 0
    attempts: int = 0
    last_error: str | None = None


@dataclass(slots=True)
class _FactRow:
    fact: Fact
    settlement: Settlement


@dataclass(slots=True)
class InMemoryStores:
    """``Inbox``, ``MemoryStore``, ``Outbox`` and ``WorkTable`` over shared dictionaries.

    ``events`` holds every change ever committed, in order. Backfill is first due after
    ``backfill_wait``: until then it can be put in a batch.
    """

    events: list[tuple[Change, datetime]] = field(default_factory=list)
    backfill_wait: timedelta = timedelta()
    passages: PassagePolicy = field(default_factory=PassagePolicy)
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
            due_at = now + self.backfill_wait if item.lane is Lane.BACKFILL else now
            self._transcripts[item.id] = _TranscriptRow(item, TranscriptState.QUEUED, due_at, now)
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
            return _lease(row, now + lease)

    def claim_together(
        self,
        receipt: ReceiptId,
        choose: Callable[[Transcript, Sequence[Transcript]], Collection[Transcript]],
        now: datetime,
        lease: timedelta,
        limit: int,
    ) -> list[TranscriptClaim]:
        with self._lock:
            lead = self.claim_transcript(receipt, now, lease)
            if lead is None or lead.is_alone:
                return [] if lead is None else [lead]
            rows = [row for row in self._transcripts.values() if _may_join(row, lead, now)]
            rows.sort(key=lambda row: (row.transcript.ended_at, row.transcript.id))
            shown = [row.transcript for row in rows[:limit]]
            chosen = {item.id for item in choose(lead.transcript, shown)}
            company = [row for row in rows if row.transcript.id in chosen]
            return [lead, *(_lease(row, now + lease) for row in company)]

    def load_transcripts(self, owner: Owner, receipts: Collection[ReceiptId]) -> list[Transcript]:
        with self._lock:
            rows = [self._transcripts[key] for key in set(receipts) if key in self._transcripts]
        found = [row.transcript for row in rows if row.transcript.messages]
        return [item for item in found if item.owner == owner]

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

    def postpone(
        self, claim: TranscriptClaim, due_at: datetime, error: str, *, is_alone: bool = False
    ) -> None:
        with self._lock:
            row = self._leave_lease(claim)
            row.state, row.due_at, row.last_error = TranscriptState.QUEUED, due_at, error
            row.is_alone |= is_alone

    def park(
        self,
        claim: TranscriptClaim,
        due_at: datetime,
        reason: str,
        now: datetime,
        *,
        whole_tenant: bool,
    ) -> None:
        owner, size = claim.transcript.owner, _size(claim.transcript)
        with self._lock:
            this = self._leave_lease(claim)
            this.attempts -= 1
            likes = [
                row
                for row in self._transcripts.values()
                if row.transcript.owner.tenant_id == owner.tenant_id
                and (whole_tenant or row.transcript.owner == owner)
                and row.state in WAITING_STATES
                and row.due_at <= now
                and _size(row.transcript) >= size
            ]
            for row in (this, *likes):
                row.state, row.due_at, row.reason = TranscriptState.PARKED, due_at, reason

    def count_parked(self, tenant_id: str) -> dict[str, int]:
        result: dict[str, int] = {}
        with self._lock:
            for row in self._transcripts.values():
                owner = row.transcript.owner
                if row.state is TranscriptState.PARKED and owner.tenant_id == tenant_id:
                    result[owner.user_id] = result.get(owner.user_id, 0) + 1
        return result

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
                last_error=self._held_up_by(row) or row.last_error,
                received_at=row.received_at,
                finished_at=row.finished_at,
                facts=tuple(reports),
                due_at=row.due_at if row.state in WAITING_STATES else None,
            )

    def _held_up_by(self, row: _TranscriptRow) -> str | None:
        if row.state is not TranscriptState.DISTILLED:
            return None
        return self._owners.get(row.transcript.owner, _OwnerRow()).last_error

    def states(self, tenant_id: str, receipts: Collection[ReceiptId]) -> dict[str, int]:
        result: dict[str, int] = {}
        with self._lock:
            for receipt in set(receipts):
                row = self._transcripts.get(receipt)
                is_known = row is not None and row.transcript.owner.tenant_id == tenant_id
                name = _name_state(row) if row is not None and is_known else "unknown"
                result[name] = result.get(name, 0) + 1
        return result

    # ---- what a store of batches does with transcripts ------------------------------------------

    def untried(self, receipts: Collection[ReceiptId] | None = None) -> list[_TranscriptRow]:
        """The rows, to be changed, of backfill that nobody has tried and that was in no batch."""
        with self._lock:
            return [
                row
                for key, row in self._transcripts.items()
                if (receipts is None or key in receipts)
                and row.transcript.lane is Lane.BACKFILL
                and row.state in WAITING_STATES
                and row.batch is None
                and not (row.attempts or row.lease_until or row.is_alone)
            ]

    def release_batched(self, batch: UUID, now: datetime) -> list[ReceiptId]:
        """Make what waits for this batch due; who that is."""
        with self._lock:
            rows = [
                row
                for row in self._transcripts.values()
                if row.batch == batch
                and row.state is TranscriptState.QUEUED
                and row.reason == BATCHED
            ]
            for row in rows:
                row.due_at, row.reason = now, None
            return [row.transcript.id for row in rows]

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
            row.last_error = error
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

    def load_slot(self, owner: Owner, slot: Slot) -> list[Memory]:
        with self._lock:
            rows = list(self._memories.values())
        return [memory for memory in rows if memory.owner == owner and memory.slot == slot]

    def load_facts(
        self, owner: Owner, memory_ids: Collection[MemoryId]
    ) -> dict[MemoryId, tuple[Fact, ...]]:
        found: dict[MemoryId, tuple[Fact, ...]] = {}
        with self._lock:
            for row in self._facts.values():
                key = row.settlement.memory_id
                if key is not None and key in memory_ids and row.fact.owner == owner:
                    found[key] = (*found.get(key, ()), row.fact)
        return found

    def extend_owner_lease(self, claim: OwnerClaim, until: datetime) -> None:
        with self._lock:
            row = self._owners[claim.owner]
            if row.fence != claim.fence:
                raise LeaseLost(f"user lease: fence {claim.fence} has moved on")
            row.lease_until = until

    def mark_owner_due(self, owner: Owner, now: datetime) -> None:
        with self._lock:
            self._mark_due(owner, now)

    def find_memory(self, tenant_id: str, key: MemoryId) -> Memory:
        with self._lock:
            found = self._memories.get(key)
        if found is None or found.owner.tenant_id != tenant_id:
            raise NotFound(f"no memory has the id {key}")
        return found

    def read_events(self, tenant_id: str, key: MemoryId) -> list[MemoryEvent]:
        with self._lock:
            return [
                MemoryEvent(seq, at, change.event_name, {"memory": _outline(change.memory)})
                for seq, (change, at) in enumerate(self.events, 1)
                if change.memory.id == key and change.memory.owner.tenant_id == tenant_id
            ]

    def commit_plan(self, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
        with self._lock:
            row = self._owners.get(claim.owner)
            if row is None or row.fence != claim.fence:
                raise LeaseLost(f"user lease: fence {claim.fence} has moved on")
            self._check_versions(plan)
            self._memories.update(plan.final_states())
            self._outbox.update(dict.fromkeys(plan.final_states()))
            self.events.extend((change, now) for change in plan.changes)
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
            indexed = [row for row in rows if row.state is not MemoryState.MERGED]
            removals = tuple(row.id for row in rows if row.state is MemoryState.MERGED)
            yield Projection(tuple(map(self._as_point, indexed)), removals)
            is_projected = True
        finally:
            if not is_projected:
                with self._lock:
                    self._outbox.update(dict.fromkeys(waiting))

    def refill(self, now: datetime) -> int:
        del now
        with self._lock:
            indexed = [
                key for key, row in self._memories.items() if row.state is not MemoryState.MERGED
            ]
            added = [key for key in indexed if key not in self._outbox]
            self._outbox.update(dict.fromkeys(added))
        return len(added)

    def _as_point(self, memory: Memory) -> IndexPoint:
        passage = "" if memory.owner.user_id == EVERYONE else self._passage(memory)
        return IndexPoint(
            memory_id=memory.id,
            owner=memory.owner,
            scope=memory.scope,
            session_id=memory.session_id,
            version=memory.version,
            vector=memory.vector,
            text=f"{memory.statement} {passage}".strip(),
            state=memory.state,
            valid_from=memory.valid_from,
            valid_to=memory.valid_to,
        )

    def _passage(self, memory: Memory) -> str:
        places = places_around(memory.evidence, self.passages)
        with self._lock:
            said = {
                (receipt, message.index): message
                for receipt in {receipt for receipt, _ in places} & self._transcripts.keys()
                for message in self._transcripts[receipt].transcript.messages
            }
        return read_passages(memory.evidence, said, self.passages)

    def find_due(self, now: datetime, limit: int) -> DueWork:
        with self._lock:
            rows = sorted(self._transcripts.values(), key=lambda row: row.due_at)
            due = [row.transcript for row in rows if _is_claimable(row, now)]
            interactive, backfill = (
                tuple(item.id for item in due if item.lane is lane)[:limit] for lane in Lane
            )
            owners = [
                owner
                for owner, row in self._owners.items()
                if row.due_at is not None and row.due_at <= now and not _is_leased(row, now)
            ]
            return DueWork(interactive, tuple(owners[:limit]), bool(self._outbox), backfill)

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
    is_open = row.state in OPEN_STATES or row.state is TranscriptState.PARKED
    return is_open and row.due_at <= now and not _is_leased(row, now)


def _name_state(row: _TranscriptRow) -> str:
    is_batched = row.state is TranscriptState.QUEUED and row.reason == BATCHED
    return BATCHED if is_batched else row.state.value


def _may_join(row: _TranscriptRow, lead: TranscriptClaim, now: datetime) -> bool:
    is_other = row.transcript.id != lead.transcript.id
    is_waiting = row.state in WAITING_STATES and not row.is_alone and _is_claimable(row, now)
    is_like = row.transcript.lane is lead.transcript.lane
    return is_other and is_waiting and is_like and row.transcript.owner == lead.transcript.owner


def _lease(row: _TranscriptRow, until: datetime) -> TranscriptClaim:
    row.is_alone |= row.state is TranscriptState.DISTILLING
    row.state, row.reason, row.lease_until = TranscriptState.DISTILLING, None, until
    row.attempts += 1
    row.fence += 1
    return TranscriptClaim(row.transcript, row.fence, row.attempts, row.is_alone)


def _size(transcript: Transcript) -> int:
    return sum(len(message.content) for message in transcript.messages)


def _is_leased(row: _TranscriptRow | _OwnerRow, now: datetime) -> bool:
    return row.lease_until is not None and row.lease_until > now


def _outline(memory: Memory) -> dict[str, object]:
    return {
        "statement": memory.statement,
        "state": memory.state.value,
        "scope": memory.scope.value,
        "version": memory.version,
    }
