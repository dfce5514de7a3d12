"""Cleaning goes on in portions, and stops when its turn is over."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from config.langgraph import LangGraphPolicy
from pipelines.flows.clean_threads import Cleaned, CleanThreads
from pipelines.outcome import Done
from pipelines.ports.threads import Amount
from pipelines.testing.surroundings import ManualClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.ports.threads import Choose

POLICY = LangGraphPolicy(batch=10, page=2, turn=timedelta(seconds=30))


@dataclass
class Tables:
    """Threads that have so much to give; None where somebody else is at them."""

    clock: ManualClock
    threads: dict[str, int | None]
    visits: list[str] = field(default_factory=list)
    each: timedelta = timedelta(0)

    @contextmanager
    def open(self) -> Iterator[Tables]:
        yield self

    def find_long(self, keep: int, after: str | None, limit: int) -> list[str]:
        del keep
        return sorted(name for name in self.threads if after is None or name > after)[:limit]

    def remove(self, thread_id: str, choose: Choose, *, is_dry: bool = False) -> Amount | None:
        del choose
        self.visits.append(thread_id)
        self.clock.advance(self.each)
        left = self.threads[thread_id]
        if left is None:
            return None
        gone = left if is_dry else min(left, POLICY.batch)
        if not is_dry:
            self.threads[thread_id] = left - gone
        return Amount(gone, gone, gone, gone)

    def measure(self) -> Amount:
        return Amount(sum(left or 0 for left in self.threads.values()))


def _flow(tables: Tables) -> CleanThreads:
    return CleanThreads(tables, tables.clock, POLICY)


def test_every_thread_is_emptied_portion_by_portion() -> None:
    """A long one in as many transactions as it takes; one that is in use is left."""
    tables = Tables(ManualClock(), {"a": 25, "b": None, "c": 0, "d": 10, "e": 3})
    done = _flow(tables).run()
    assert isinstance(done, Done)
    assert (done.counts["checkpoints"], done.counts["threads"], done.counts["left"]) == (38, 3, 1)
    assert ["a", "a", "a", "b", "c", "d", "d", "e"] == tables.visits


def test_a_turn_ends_in_time_and_the_next_one_goes_on() -> None:
    """Also within one long thread."""
    tables = Tables(ManualClock(), {"a": 45, "b": 5}, each=timedelta(seconds=10))
    flow = _flow(tables)
    first = flow.clean(tables.clock.now() + POLICY.turn)
    assert (first.amount.checkpoints, first.is_complete) == (30, False)
    second = flow.clean(tables.clock.now() + POLICY.turn)
    assert (second.amount.checkpoints, tables.threads) == (20, {"a": 0, "b": 0})


def test_a_preview_asks_once_for_each_thread_and_changes_nothing() -> None:
    """Nothing goes, so nothing more would come."""
    tables = Tables(ManualClock(), {"a": 25, "b": None})
    expected = (Amount(25), Cleaned(Amount(25, 25, 25, 25), threads=1, left=1))
    assert expected == _flow(tables).preview()
    assert (["a", "b"], 25) == (tables.visits, tables.threads["a"])
