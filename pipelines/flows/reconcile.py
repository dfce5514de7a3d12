"""Reconciling: what the index and the rows disagree on is found, and projected anew."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from pipelines.flows.compare import compare_page
from pipelines.outcome import Done, Outcome, Skipped
from pipelines.ports import Difference, Removal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from config.operation import ReconcilePolicy
    from pipelines.flows.compare import Found, Page
    from pipelines.model import MemoryId
    from pipelines.ports import Clock, IndexTruth, RoundStore, VectorIndex, Waker

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a turn found.

    Attributes:
        examples: Some of each kind.
        repaired: Differences that wait for being projected now.
        after: Compared up to here; None where everything was.
    """

    compared: int = 0
    found: Mapping[Difference, int] = field(default_factory=dict)
    examples: Mapping[Difference, tuple[MemoryId, ...]] = field(default_factory=dict)
    repaired: int = 0
    after: MemoryId | None = None


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Compares everything, in bounded batches and turns; other work goes on meanwhile."""

    truth: IndexTruth
    index: VectorIndex
    waker: Waker
    clock: Clock
    policy: ReconcilePolicy

    def run(self, after: MemoryId | None, turn: timedelta, *, repairs: bool) -> Reconciled:
        """Compare what lies behind ``after``, until it is the end or the turn is over.

        Args:
            after: Where the turn before ended.
            turn: No further batch is begun after this.
            repairs: Have what differs projected anew; repeating that changes nothing.
        """
        deadline = self.clock.now() + turn
        total = Reconciled(after=after)
        while True:
            page = compare_page(self.truth, self.index, total.after, self.policy.batch)
            found = self._look_again(page, total.after)
            repaired = self._repair(found) if repairs else 0
            total = self._add(total, page, found, repaired)
            if total.after is None or self.clock.now() >= deadline:
                return total

    def _look_again(self, page: Page, after: MemoryId | None) -> list[Found]:
        """What still differs in the same way at a second look, and does not wait.

        What changed between both looks was put into the outbox by whoever changed it; and what
        waited at the first may have been projected before the second.
        """
        suspects = self._without_waiting(page.found)
        if not suspects:
            return []
        again = set(compare_page(self.truth, self.index, after, self.policy.batch).found)
        return self._without_waiting([item for item in suspects if item in again])

    def _without_waiting(self, found: Sequence[Found]) -> list[Found]:
        waiting = self.truth.find_waiting([item.memory_id for item in found]) if found else {}
        return [item for item in found if item.memory_id not in waiting]

    def _repair(self, found: Sequence[Found]) -> int:
        if not found:
            return 0
        # Nothing older replaces a point.
        ahead = [item.memory_id for item in found if item.kind is Difference.AHEAD]
        if ahead:
            self.index.apply([], [Removal(key, None) for key in ahead])
        owners = {item.memory_id: item.owner for item in found}
        self.truth.enqueue(owners, self.clock.now())
        self.waker.wake_index()
        return len(found)

    def _add(
        self, total: Reconciled, page: Page, found: Sequence[Found], repaired: int
    ) -> Reconciled:
        examples = dict(total.examples)
        for item in found:
            kept = examples.get(item.kind, ())
            examples[item.kind] = (*kept, item.memory_id)[: self.policy.examples]
        return Reconciled(
            total.compared + page.compared,
            Counter(total.found) + Counter(item.kind for item in found),
            examples,
            total.repaired + repaired,
            page.end,
        )


@dataclass(frozen=True, slots=True)
class ReconcileRounds:
    """Reconciles everything once in an interval, whoever asks how often."""

    reconcile: Reconcile
    rounds: RoundStore
    clock: Clock
    policy: ReconcilePolicy

    def run(self) -> Outcome:
        """Go on with the round, or begin one when it is time."""
        now = self.clock.now()
        with self.rounds.turn(now, self.policy.interval) as turn:
            if turn is None:
                return Skipped("not due")
            before = turn.round
            done = self.reconcile.run(before.after, self.policy.turn, repairs=True)
            found = Counter(before.found) + Counter(done.found)
            after = replace(
                before,
                after=done.after,
                compared=before.compared + done.compared,
                found=found,
                finished_at=None if done.after else self.clock.now(),
            )
            turn.save(after)
        if found:
            counts = {kind.value: count for kind, count in found.items()}
            log.warning("index_differed", repaired=done.repaired, **counts)
        log.info("index_compared", compared=after.compared, is_finished=done.after is None)
        return Done({"compared": done.compared, "repaired": done.repaired})
