"""Consolidating: one leased user's new facts against all that is known of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import (
    BudgetExceeded,
    DependencyUnavailable,
    LeaseLost,
    MemstillError,
    ModelRefused,
    OwnerBusy,
    StoreRefused,
    VersionConflict,
)
from pipelines.flows.again import delay_after_error, insist
from pipelines.flows.judging import Judging, is_worth_asking, weigh_open
from pipelines.flows.known import KnownFinder
from pipelines.flows.vectors import Vectors
from pipelines.model import FactOutcome
from pipelines.outcome import Done, Outcome, Skipped, Snoozed
from pipelines.plan import Plan, Settlement
from pipelines.stages.generation import Side, generation_of
from pipelines.stages.merging.merge import merge
from pipelines.stages.merging.portions import cut, session_end
from pipelines.stages.merging.relate import Relations

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from config.policy import Policies
    from pipelines.model import Fact, MemoryId, Owner
    from pipelines.ports import (
        Clock,
        Embedder,
        Judge,
        MemoryStore,
        OwnerClaim,
        Review,
        VectorIndex,
        VerdictStore,
        Waker,
    )

log = structlog.get_logger(__name__)

# By then it is no fact's fault, but a wrong key or name of the model's.
_REFUSED_IN_A_ROW = 3
BUSY = "this user's memories are being changed; try again in a moment"


@dataclass(frozen=True, slots=True)
class Consolidate:
    """Consolidates one user; different users never wait for each other."""

    store: MemoryStore
    index: VectorIndex
    embedder: Embedder
    verdicts: VerdictStore
    judge: Judge | None
    waker: Waker
    clock: Clock
    policies: Policies

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

    def rearrange(self, owner: Owner, memories: Collection[MemoryId]) -> None:
        """Put the facts of these memories together anew, after a verdict on them changed.

        Raises:
            OwnerBusy: Another worker holds the user right now, or the memories were replaced.
        """
        now = self.clock.now()
        self.store.mark_owner_due(owner, now)
        claim = self.store.claim_owner(owner, now, self.policies.lease.consolidate)
        if claim is None:
            raise OwnerBusy(BUSY)
        try:
            if len(self.store.load_memories(owner, memories)) < len(set(memories)):
                raise OwnerBusy(BUSY)
            plan = self._commit(claim, [], memories)
            log.info("user_rearranged", **plan.counts())
        except LeaseLost as error:
            raise OwnerBusy(BUSY) from error
        finally:
            # New facts may have arrived, and were not looked at here.
            self._release(claim, self.clock.now())
        self.waker.wake_index()

    def _consolidate(self, claim: OwnerClaim) -> Outcome:
        pending = self.store.pending_facts(claim.owner, self.policies.consolidate.max_facts)
        ready, resume_at = self._select_ready(claim, pending)
        counts, done = Counter[str](), 0
        for portion in cut(ready, claim.deaths):
            if done:
                self._hold(claim)
            counts.update(self._commit_portion(claim, portion))
            done += len(portion)
        is_more = done < len(ready) or len(pending) == self.policies.consolidate.max_facts
        may_ask = claim.has_reviews or counts["opened"] > 0
        due = [
            self.clock.now() if is_more else resume_at,
            self._review_later(claim) if may_ask else None,
        ]
        self._release(
            claim, min((at for at in due if at is not None), default=None), deaths=done < len(ready)
        )
        self.waker.wake_index()
        waiting = len(pending) - done
        log.info("user_consolidated", waiting=waiting, deaths=claim.deaths, **counts)
        return Done(dict(counts))

    def _commit_portion(self, claim: OwnerClaim, facts: Sequence[Fact]) -> dict[str, int]:
        """A fact over which more workers died alone than the policy admits is refused."""
        if claim.deaths > self.policies.retry.max_deaths:
            return self._refuse(claim, facts[0], "killed_its_worker")
        return self._commit_or_isolate(claim, facts)

    def _review_later(self, claim: OwnerClaim) -> datetime | None:
        """Ask what is to be asked; after a death first the facts, and then in peace."""
        if not claim.deaths:
            return self._review(claim)
        return self.clock.now() if self._load_reviews(claim) else None

    def _select_ready(
        self, claim: OwnerClaim, pending: Sequence[Fact]
    ) -> tuple[list[Fact], datetime | None]:
        """Facts before the earliest session that is still being distilled, in event order.

        Sessions that finish together are so consolidated in the order in which they happened,
        whichever distils first. A stuck one, or earlier ones that go on arriving, hold no fact
        up for longer than ``order_wait`` after its session was received.
        """
        if not claim.has_undistilled:
            return list(pending), None
        now, wait = self.clock.now(), self.policies.consolidate.order_wait
        barrier = self.store.earliest_undistilled(claim.owner, now - wait)
        if barrier is None:
            return list(pending), None
        ready = [fact for fact in pending if session_end(fact) < barrier]
        if len(ready) == len(pending):
            return ready, None
        waiting_since = self.store.oldest_pending(claim.owner) or now
        if waiting_since + wait <= now:
            return list(pending), None
        return ready, waiting_since + wait

    def _commit_or_isolate(self, claim: OwnerClaim, facts: Sequence[Fact]) -> dict[str, int]:
        try:
            return {"facts": len(facts), **self._commit(claim, facts).counts()}
        except (StoreRefused, ModelRefused) as error:
            if len(facts) > 1:  # one of them is to blame; the others must not wait for it
                return self._commit_one_by_one(claim, facts)
            if isinstance(error, ModelRefused):
                raise
            log.warning("fact_not_storable", fact=str(facts[0].id), error=str(error))
            return self._refuse(claim, facts[0], "not_storable")

    def _commit_one_by_one(self, claim: OwnerClaim, facts: Sequence[Fact]) -> dict[str, int]:
        """What cannot be embedded stays pending, and is raised when the others are through."""
        totals, refused = Counter[str](), list[ModelRefused]()
        for fact in facts:
            self._hold(claim)
            try:
                totals.update(self._commit_or_isolate(claim, [fact]))
            except ModelRefused as error:
                refused.append(error)
                if not totals and len(refused) == _REFUSED_IN_A_ROW:
                    break
        if refused:
            raise refused[-1]
        return dict(totals)

    def _refuse(self, claim: OwnerClaim, fact: Fact, reason: str) -> dict[str, int]:
        settled = {fact.id: Settlement(FactOutcome.REFUSED, reason=reason)}
        self.store.commit_plan(claim, Plan(settled=settled), self.clock.now())
        log.error("fact_refused", fact=str(fact.id), reason=reason)
        return {"facts": 1, "refused": 1}

    def _review(self, claim: OwnerClaim) -> datetime | None:
        """Ask about what waits for a judge, if it is worth a question by now.

        Whatever becomes of the question, no fact waits for it.

        Returns:
            When to look again; None if nothing waits any more.
        """
        reviews, now = self._load_reviews(claim), self.clock.now()
        if not reviews:
            return None
        if not is_worth_asking(reviews, now, self.policies.judge):
            return min(item.since for item in reviews) + self.policies.judge.wait
        waited = frozenset(item.memory_id for item in reviews)
        try:
            self._commit(claim, [], waited, reviewed=waited)
        except BudgetExceeded as error:
            log.warning("review_postponed", error=str(error))
            return error.resume_at
        except DependencyUnavailable as error:
            log.warning("review_postponed", error=str(error))
            return now + self.policies.retry.base
        except StoreRefused as error:
            self.store.commit_plan(claim, Plan(reviewed=waited), now)
            log.warning("review_dropped", memories=len(waited), error=str(error))
        return None

    def _load_reviews(self, claim: OwnerClaim) -> list[Review]:
        """Nobody asks about memories that were displaced."""
        place = generation_of(claim.owner)
        if self.judge is None or (place is not None and place[1] is Side.PREVIOUS):
            return []
        return self.store.load_reviews(claim.owner)

    def _commit(
        self,
        claim: OwnerClaim,
        facts: Sequence[Fact],
        refile: Collection[MemoryId] = (),
        *,
        reviewed: frozenset[MemoryId] = frozenset(),
    ) -> Plan:
        vectors = Vectors(self.embedder)
        vectors.learn(fact.statement for fact in facts)
        for _ in range(self.policies.consolidate.max_replans):
            plan = self._plan(claim, facts, vectors, refile, is_review=bool(reviewed))
            plan = replace(plan, reviewed=reviewed)
            try:
                self.store.commit_plan(claim, plan, self.clock.now())
            except VersionConflict:
                continue
            return plan
        raise VersionConflict("the user's memories kept changing while they were planned")

    def _plan(
        self,
        claim: OwnerClaim,
        facts: Sequence[Fact],
        vectors: Vectors,
        refile: Collection[MemoryId],
        *,
        is_review: bool,
    ) -> Plan:
        """Go by what is known; ask at once only about what decides what holds now."""
        judging = self._make_judging(claim, self.judge if is_review else None)
        plan = self._decide(claim.owner, facts, vectors, refile, judging)
        if self.judge is None or is_review:
            return plan
        if any(pair.is_in_slot for pair in judging.open):
            judging = self._make_judging(claim, self.judge)
            return self._decide(claim.owner, facts, vectors, refile, judging)
        return replace(plan, opened=weigh_open(judging.open, facts, plan, self.policies.judge))

    def _make_judging(self, claim: OwnerClaim, judge: Judge | None) -> Judging:
        return Judging(
            # What two statements are to each other does not depend on the generation.
            claim.owner.live,
            self.verdicts,
            judge,
            self.clock,
            self.policies.judge,
            before_asking=lambda: self._hold(claim),
        )

    def _decide(
        self,
        owner: Owner,
        facts: Sequence[Fact],
        vectors: Vectors,
        refile: Collection[MemoryId],
        judging: Judging,
    ) -> Plan:
        """Merge, and merge again with the verdicts on what the rules had to leave open."""
        finder = KnownFinder(self.store, self.index, self.policies.dedup)
        known = finder.find(owner, facts, vectors, refile)
        refile = set(refile).intersection(memory.id for memory in known.memories)
        for _ in range(self.policies.consolidate.max_questions):
            relations = Relations(self.policies.dedup, vectors.of, judging.known)
            plan = merge(facts, known, relations, self.policies, refile)
            if not judging.learn(relations):
                return plan
        relations = Relations(self.policies.dedup, vectors.of, judging.known)
        return merge(facts, known, relations, self.policies, refile)

    def _hold(self, claim: OwnerClaim) -> None:
        self.store.extend_owner_lease(claim, self.clock.now() + self.policies.lease.distill)

    def _release(self, claim: OwnerClaim, resume_at: datetime | None, *, deaths: int = 0) -> None:
        now = self.clock.now()
        is_due = insist(
            lambda: self.store.release_owner(claim, resume_at, now, deaths=deaths),
            self.policies.retry.patience,
        )
        if is_due or (resume_at is not None and resume_at <= now):
            self.waker.wake_consolidate([claim.owner])

    def _give_back(self, claim: OwnerClaim, error: Exception) -> Outcome:
        text = f"{type(error).__name__}: {error}"
        now = self.clock.now()
        delay = delay_after_error(error, claim.attempt, self.policies.retry)
        if isinstance(error, BudgetExceeded):
            delay = max(delay, error.resume_at - now)
        insist(
            lambda: self.store.release_owner(
                claim, now + delay, now, text, deaths=min(claim.deaths, 1)
            ),
            self.policies.retry.patience,
        )
        log.warning("consolidation_postponed", error=text)
        return Snoozed(delay, text)
