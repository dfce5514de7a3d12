"""The truth in memory, under the same contract."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.errors import LeaseLost, NotFound, VersionConflict
from pipelines.model import EVERYONE, FactOutcome, MemoryState, TranscriptState
from pipelines.ports import MemoryEvent, OwnerClaim, Review
from pipelines.stages.dedup import statement_key
from pipelines.testing.tables import OPEN_STATES, InMemoryTables

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta

    from pipelines.model import Fact, Memory, MemoryId, Owner, Slot
    from pipelines.plan import Plan


class InMemoryMemories(InMemoryTables):
    """``MemoryStore`` over shared rows."""

    __slots__ = ()

    def claim_owner(self, owner: Owner, now: datetime, lease: timedelta) -> OwnerClaim | None:
        with self._lock:
            row = self._owners.get(owner)
            if row is None or not row.is_claimable(now):
                return None
            row.fence += 1
            row.attempts += 1
            row.deaths += row.lease_until is not None
            row.lease_until = now + lease
            return OwnerClaim(owner, row.fence, row.attempts, row.generation, row.deaths)

    def release_owner(
        self,
        claim: OwnerClaim,
        due_at: datetime | None,
        now: datetime,
        error: str | None = None,
        *,
        deaths: int = 0,
    ) -> bool:
        with self._lock:
            row = self._owners[claim.owner]
            if row.fence != claim.fence:
                return False
            is_unchanged = row.generation == claim.generation
            row.lease_until = None
            row.due_at = due_at if is_unchanged else now
            row.attempts = row.attempts if error else 0
            row.deaths = deaths
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

    def oldest_pending(self, owner: Owner) -> datetime | None:
        with self._lock:
            pending = {
                row.fact.transcript_id
                for row in self._facts.values()
                if row.fact.owner == owner and row.settlement.outcome is FactOutcome.PENDING
            }
            received = [row.received_at for key, row in self._transcripts.items() if key in pending]
        return min(received, default=None)

    def find_candidates(
        self,
        owner: Owner,
        statements: Collection[str],
        slots: Collection[Slot],
        near: Collection[MemoryId] = (),
    ) -> list[Memory]:
        keys = {statement_key(statement) for statement in statements}
        with self._lock:
            return [
                memory
                for memory in self._memories.values()
                if memory.owner == owner
                and (
                    memory.slot in slots
                    or memory.id in near
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

    def find_memory(self, tenant_id: str, key: MemoryId, user_id: str | None = None) -> Memory:
        with self._lock:
            found = self._memories.get(key)
        if found is None or found.owner.tenant_id != tenant_id:
            raise NotFound(f"no memory has the id {key}")
        if user_id is not None and found.owner.user_id not in {user_id, EVERYONE}:
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
            self._enqueue(plan.final_states(), now)
            self.events.extend((change, now) for change in plan.changes)
            for key, settlement in plan.settled.items():
                self._facts[key].settlement = settlement
            self._note_reviews(claim.owner, plan, now)
            self._finish(now)

    def find(self, key: MemoryId) -> Memory | None:
        """A memory, whosever it is."""
        with self._lock:
            return self._memories.get(key)

    def all_memories(self) -> list[Memory]:
        """Those of all owners."""
        with self._lock:
            return list(self._memories.values())

    def put_memory(self, memory: Memory, now: datetime) -> None:
        """Write one beside any plan, and have it projected."""
        with self._lock:
            self._memories[memory.id] = memory
            self._enqueue([memory.id], now)

    def forget(self, memory: Memory, now: datetime) -> None:
        """Evict one because somebody asked for it."""
        with self._lock:
            self._forgotten.add((memory.id, now))
            gone = replace(memory, pinned=False, evicted_at=now, version=memory.version + 1)
            self.put_memory(gone, now)

    def is_forgotten(self, memory: Memory) -> bool:
        """Whether it was evicted because somebody asked for it."""
        return (memory.id, memory.evicted_at) in self._forgotten

    def delete_memories(self, keys: Collection[MemoryId]) -> None:
        """Forget them with their facts."""
        with self._lock:
            for key in keys:
                del self._memories[key]
            gone = [fact for fact, row in self._facts.items() if row.settlement.memory_id in keys]
            for fact in gone:
                del self._facts[fact]

    def _note_reviews(self, owner: Owner, plan: Plan, now: datetime) -> None:
        reviews = self._reviews.setdefault(owner, {})
        for key in plan.reviewed:
            reviews.pop(key, None)
        for key, weight in plan.opened.items():
            known = reviews.get(key)
            since, before = (known.since, known.weight) if known else (now, 0)
            reviews[key] = Review(key, before + weight, since)

    def load_reviews(self, owner: Owner) -> list[Review]:
        with self._lock:
            return list(self._reviews.get(owner, {}).values())

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


def _outline(memory: Memory) -> dict[str, object]:
    return {
        "statement": memory.statement,
        "state": memory.state.value,
        "scope": memory.scope.value,
        "version": memory.version,
    }
