"""Consolidating: one leased user's new facts against all that is known of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import LeaseLost, MemstillError, StoreRefused, VersionConflict
from pipelines.model import FactOutcome
from pipelines.outcome import Done, Outcome, Skipped, Snoozed
from pipelines.plan import Plan, Settlement
from pipelines.stages.merge import merge

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from config.policy import Policies
    from pipelines.model import Fact, Memory, MemoryId, Owner, Vector
    from pipelines.ports import Clock, Embedder, MemoryStore, OwnerClaim, VectorIndex, Waker

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Consolidate:
    """Consolidates one user; different users never wait for each other."""

    store: MemoryStore
    index: VectorIndex
    embedder: Embedder
    waker: Waker
    clock: Clock
    policies: Policies
    retry_delay: timedelta

    def run(self, owner: Owner) -> Outcome:
        """Consolidate what is due for the user."""
        claim = self.store.claim_owner(owner, self.clock.now(), self.policies.lease.consolidate)
        if claim is None:
            return Skipped("nothing due, or held by another worker")
        try:
            return self._consolidate(claim)
        except LeaseLost as error:
            log.warning("lease_lost", error=str(error))
            return Skipped(str(error))
        except MemstillError as error:
            # Whatever it is, the facts stay pending; the row says what holds them up.
            return self._give_back(claim, error)

    def _consolidate(self, claim: OwnerClaim) -> Outcome:
        pending = self.store.pending_facts(claim.owner, self.policies.consolidate.max_facts)
        ready, resume_at = self._select_ready(claim.owner, pending)
        counts: dict[str, int] = {}
        if ready:
            counts = self._commit_or_isolate(claim, ready)
            self.waker.wake_index()
            if len(pending) == self.policies.consolidate.max_facts:
                resume_at = self.clock.now()
        self._release(claim, resume_at)
        log.info("user_consolidated", waiting=len(pending) - len(ready), **counts)
        return Done(counts)

    def _select_ready(
        self, owner: Owner, pending: Sequence[Fact]
    ) -> tuple[list[Fact], datetime | None]:
        """Facts before the earliest session that is still being distilled, in event order.

        Sessions that finish together are so consolidated in the order in which they happened,
        whichever distils first; a stuck one holds the others up for ``order_wait`` at most.
        """
        now, wait = self.clock.now(), self.policies.consolidate.order_wait
        barrier = self.store.earliest_undistilled(owner, now - wait)
        if barrier is None:
            return list(pending), None
        ready = [fact for fact in pending if _session_end(fact) < barrier]
        return ready, (now + wait if len(ready) < len(pending) else None)

    def _commit_or_isolate(self, claim: OwnerClaim, facts: Sequence[Fact]) -> dict[str, int]:
        try:
            return {"facts": len(facts), **self._commit(claim, facts).counts()}
        except StoreRefused as error:
            if len(facts) > 1:
                # One of them cannot be stored; the others must not wait for it.
                totals = Counter[str]()
                for fact in facts:
                    totals.update(self._commit_or_isolate(claim, [fact]))
                return dict(totals)
            return self._refuse(claim, facts[0], error)

    def _refuse(self, claim: OwnerClaim, fact: Fact, error: StoreRefused) -> dict[str, int]:
        settled = {fact.id: Settlement(FactOutcome.REFUSED, reason="not_storable")}
        self.store.commit_plan(claim, Plan(settled=settled), self.clock.now())
        log.error("fact_refused", fact=str(fact.id), error=str(error))
        return {"facts": 1, "refused": 1}

    def _commit(self, claim: OwnerClaim, facts: Sequence[Fact]) -> Plan:
        vectors = self.embedder.embed([fact.statement for fact in facts])
        for _ in range(self.policies.consolidate.max_replans):
            known = self._find_known(claim.owner, facts, vectors)
            plan = merge(
                list(zip(facts, vectors, strict=True)),
                known,
                self.policies.dedup,
                self.policies.promotion,
            )
            try:
                self.store.commit_plan(claim, plan, self.clock.now())
            except VersionConflict:
                continue
            return plan
        raise VersionConflict("the user's memories kept changing while they were planned")

    def _find_known(
        self, owner: Owner, facts: Sequence[Fact], vectors: Sequence[Vector]
    ) -> list[Memory]:
        # The index may lag: what it has not seen yet comes from the store.
        candidates = self.store.find_candidates(
            owner,
            {fact.statement for fact in facts},
            {fact.slot for fact in facts if fact.slot is not None},
        )
        found = self.index.neighbours(owner, vectors, self.policies.dedup.candidates)
        near: set[MemoryId] = {key for keys in found for key in keys}
        near.difference_update(memory.id for memory in candidates)
        return candidates + self.store.load_memories(owner, near)

    def _release(self, claim: OwnerClaim, resume_at: datetime | None) -> None:
        now = self.clock.now()
        is_due = self.store.release_owner(claim, resume_at, now)
        if is_due or (resume_at is not None and resume_at <= now):
            self.waker.wake_consolidate([claim.owner])

    def _give_back(self, claim: OwnerClaim, error: Exception) -> Outcome:
        text = f"{type(error).__name__}: {error}"
        now = self.clock.now()
        self.store.release_owner(claim, now + self.retry_delay, now, text)
        log.warning("consolidation_postponed", error=text)
        return Snoozed(self.retry_delay, text)


def _session_end(fact: Fact) -> datetime:
    return max(item.said_at for item in fact.evidence)
