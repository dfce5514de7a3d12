"""Settling what the rules leave open for one user: stored verdicts first, then a judge."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import BadReply, ModelRefused
from pipelines.model import FactOutcome
from pipelines.stages.dedup import statement_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from datetime import datetime

    from config.policy import JudgePolicy
    from pipelines.model import Fact, Memory, MemoryId, Owner
    from pipelines.plan import Plan
    from pipelines.ports import Clock, Judge, Review, VerdictStore
    from pipelines.stages.merging.relate import Pair, Relation, Relations

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Judging:
    """The verdicts that one consolidation goes by.

    Attributes:
        judge: Who is asked; None goes by stored verdicts alone.
        before_asking: Called before a judge is asked, who may take long.
        known: Verdicts by the keys of their pairs.
        open: Pairs worth a question that nobody was asked about.
    """

    owner: Owner
    store: VerdictStore
    judge: Judge | None
    clock: Clock
    policy: JudgePolicy
    before_asking: Callable[[], None]
    known: dict[str, Relation] = field(default_factory=dict)
    open: list[Pair] = field(default_factory=list)
    _considered: set[str] = field(default_factory=set)

    def learn(self, relations: Relations) -> bool:
        """Look up and ask what these relations met for the first time.

        Returns:
            Whether anything is known now that was not known before.
        """
        fresh = (relations.open.keys() | relations.ruled.keys()) - self._considered
        self._considered |= fresh
        if not fresh:
            return False
        found = self.store.find_verdicts(self.owner, fresh)
        unknown = [
            pair for key, pair in relations.open.items() if key in fresh and key not in found
        ]
        found |= self._ask(select_pairs(unknown, self.policy))
        self.known |= found
        return bool(found)

    def _ask(self, pairs: list[Pair]) -> dict[str, Relation]:
        if self.judge is None:
            self.open += pairs
            return {}
        if not pairs:
            return {}
        self.before_asking()
        try:
            found = self.judge.judge(self.owner, pairs)
        except (BadReply, ModelRefused) as error:
            # Nothing is lost without a verdict: both statements stay.
            log.warning("judgement_failed", pairs=len(pairs), error=type(error).__name__)
            return {}
        self.store.keep_verdicts(self.owner, found, self.judge.version, self.clock.now())
        log.info("pairs_judged", pairs=len(pairs), verdicts=len(found))
        return found


def select_pairs(pairs: Iterable[Pair], policy: JudgePolicy) -> list[Pair]:
    """The pairs worth a question: conflicts inside slots, then for each statement its nearest."""
    chosen: list[Pair] = []
    asked: Counter[str] = Counter()
    for pair in sorted(pairs, key=_urgency):
        if pair.is_in_slot or asked[pair.later.statement] < policy.max_rivals:
            asked[pair.later.statement] += 1
            chosen.append(pair)
    return chosen[: policy.max_pairs]


def is_worth_asking(reviews: Collection[Review], now: datetime, policy: JudgePolicy) -> bool:
    """Whether what waits is enough for a question, or has waited as long as any may."""
    is_overdue = any(review.since + policy.wait <= now for review in reviews)
    return is_overdue or sum(review.weight for review in reviews) >= policy.company


def _urgency(pair: Pair) -> tuple[bool, float, str]:
    return (not pair.is_in_slot, -pair.cosine, pair.key)


def weigh_open(
    pairs: Iterable[Pair], facts: Sequence[Fact], plan: Plan, policy: JudgePolicy
) -> dict[MemoryId, int]:
    """How much the open pairs of each memory weigh in which a new statement ended."""
    homes = {
        fact.statement: plan.settled[fact.id].memory_id
        for fact in facts
        if not _is_repeated(fact, plan)
    }
    weights: Counter[MemoryId] = Counter()
    for pair in pairs:
        home = homes.get(pair.later.statement) or homes.get(pair.earlier.statement)
        if home is not None:
            # One that most likely says the same is worth a question by itself.
            weights[home] += policy.company if pair.cosine >= policy.urgent else 1
    return dict(weights)


def _is_repeated(fact: Fact, plan: Plan) -> bool:
    """Whether it was said before in these words: then its pairs were met before, too."""
    settled = plan.settled[fact.id]
    home = plan.final_states().get(settled.memory_id) if settled.memory_id else None
    is_known = settled.outcome is FactOutcome.REINFORCED
    return is_known and home is not None and _is_worded_alike(fact, home)


def _is_worded_alike(fact: Fact, memory: Memory) -> bool:
    return statement_key(fact.statement) == statement_key(memory.statement)
