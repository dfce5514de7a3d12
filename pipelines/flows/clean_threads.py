"""Cleaning: what LangGraph's threads no longer need goes, in portions, while they live."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog

from pipelines.outcome import Done, Outcome
from pipelines.ports.threads import Amount
from pipelines.stages.threads import select_superseded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from config.langgraph import LangGraphPolicy
    from pipelines.ports import Clock
    from pipelines.ports.threads import ThreadStore, ThreadTables
    from pipelines.stages.threads import Position

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a cleaning did.

    Attributes:
        threads: So many lost something.
        left: So many were left as they are: somebody else changed them, or only LangGraph itself
            can tell what of them is needed.
        is_complete: Every thread was looked at.
    """

    amount: Amount = field(default_factory=Amount)
    threads: int = 0
    left: int = 0
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class _Rule:
    keep: int
    cutoff: datetime
    limit: int | None

    def __call__(self, thread: Mapping[str, Sequence[Position]]) -> dict[str, list[str]]:
        return select_superseded(thread, self.keep, self.cutoff, self.limit)


@dataclass(frozen=True, slots=True)
class CleanThreads:
    """Keeps the newest checkpoints of each thread and namespace; idempotent, at any time."""

    store: ThreadStore
    clock: Clock
    policy: LangGraphPolicy

    def run(self) -> Outcome:
        """Clean for one turn; what is left is done in the next."""
        done = self.clean(self.clock.now() + self.policy.turn)
        counts = {
            "threads": done.threads,
            "left": done.left,
            "checkpoints": done.amount.checkpoints,
            "writes": done.amount.writes,
            "blobs": done.amount.blobs,
            "bytes": done.amount.size_bytes,
        }
        if done.threads or done.left:
            log.info("threads_cleaned", is_complete=done.is_complete, **counts)
        return Done(counts)

    def clean(self, until: datetime) -> Cleaned:
        """Clean as many threads as there is time for.

        Raises:
            ConfigurationError: The tables are not there, or of a form that is not known.
            StoreUnavailable: The database does not answer; what was done stays done.
        """
        rule = self._rule(self.policy.batch)
        with self.store.open() as tables:
            return self._visit(tables, rule, lambda: self.clock.now() >= until)

    def clean_all(self) -> tuple[Amount, Cleaned, Amount]:
        """Clean every thread; with all that there was before, and all that there is after."""
        rule = self._rule(self.policy.batch)
        with self.store.open() as tables:
            before = tables.measure()
            return before, self._visit(tables, rule, _never), tables.measure()

    def preview(self) -> tuple[Amount, Cleaned]:
        """All that there is, and what would go of it; nothing is changed."""
        with self.store.open() as tables:
            return tables.measure(), self._visit(tables, self._rule(None), _never, is_dry=True)

    def _rule(self, limit: int | None) -> _Rule:
        return _Rule(self.policy.keep, self.clock.now() - self.policy.settle, limit)

    def _visit(
        self,
        tables: ThreadTables,
        rule: _Rule,
        is_over: Callable[[], bool],
        *,
        is_dry: bool = False,
    ) -> Cleaned:
        amount, threads, left = Amount(), 0, 0
        for thread_id in self._find(tables):
            gone = _empty(partial(tables.remove, thread_id, rule, is_dry=is_dry), rule, is_over)
            amount += gone or Amount()
            threads += gone is not None and gone != Amount()
            left += gone is None
            if is_over():
                return Cleaned(amount, threads, left, is_complete=False)
        return Cleaned(amount, threads, left)

    def _find(self, tables: ThreadTables) -> Iterator[str]:
        after = None
        while page := tables.find_long(self.policy.keep, after, self.policy.page):
            yield from page
            after = page[-1]


def _empty(
    remove: Callable[[], Amount | None], rule: _Rule, is_over: Callable[[], bool]
) -> Amount | None:
    """Portion by portion of one thread, each a transaction of its own; None: it was left alone."""
    total = remove()
    last = total
    while last is not None and rule.limit == last.checkpoints and not is_over():
        last = remove()
        total = (total or Amount()) + (last or Amount())
    return total


def _never() -> bool:
    return False
