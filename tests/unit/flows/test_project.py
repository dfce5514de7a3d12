"""Projecting, and filling an index that has lost everything."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from pipelines.errors import IndexRefused, IndexUnavailable
from pipelines.flows.project import Project, refill_if_empty
from pipelines.model import MemoryState
from pipelines.outcome import Done, Snoozed
from pipelines.plan import Insert, Plan
from pipelines.testing.index import InMemoryIndex
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock
from tests.builders import ALICE, START, day, make_fact, make_memory
from tests.unit.flows.distilling import LEASE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pipelines.ports import IndexPoint, Removal

CLOCK = ManualClock(START)


def stores_with_memories() -> InMemoryStores:
    """Two values of one thing, of which the first has ceased to hold."""
    stores = InMemoryStores()
    stores.mark_owner_due(ALICE, START)
    claim = stores.claim_owner(ALICE, START, LEASE)
    assert claim is not None
    past = make_memory(
        make_fact("Ana lives in Porto."), state=MemoryState.SUPERSEDED, valid_to=day(1)
    )
    now = make_memory(make_fact("Ana lives in Turin.", ordinal=1, at=day(1)))
    stores.commit_plan(claim, Plan((Insert(past), Insert(now))), START)
    return stores


class PickyIndex(InMemoryIndex):
    """Refuses a statement, and remembers how many points came at once."""

    def __init__(self, refused: str) -> None:
        super().__init__()
        self.refused = refused
        self.sizes: list[int] = []

    def apply(self, upserts: Sequence[IndexPoint], removals: Collection[Removal]) -> None:
        self.sizes.append(len(upserts))
        if any(self.refused in point.text for point in upserts):
            raise IndexRefused("a point is not to be had")
        super().apply(upserts, removals)


class AwayIndex(InMemoryIndex):
    """Does not answer until it is back."""

    is_away = True

    def apply(self, upserts: Sequence[IndexPoint], removals: Collection[Removal]) -> None:
        if self.is_away:
            raise IndexUnavailable("no answer")
        super().apply(upserts, removals)


def test_project_isolates_the_memory_that_the_index_refuses() -> None:
    """The others get in at once; the refused one waits longer each time, and nobody with it."""
    stores, index, clock = stores_with_memories(), PickyIndex("Turin"), ManualClock(START)
    flow = Project(stores, index, clock)

    assert Done({"projected": 1}) == flow.run()
    assert [2, 1, 1] == index.sizes
    assert not stores.find_due(START, 10).has_unprojected

    index.refused = "nothing any more"
    clock.advance(timedelta(minutes=1))
    assert Done({"projected": 1}) == flow.run()
    assert 2 == index.count(ALICE)


def test_project_waits_for_an_index_that_is_away_and_then_writes_all_at_once() -> None:
    """An outage says nothing about the memories: afterwards they go together as before."""
    stores, index, clock = stores_with_memories(), AwayIndex(), ManualClock(START)
    flow = Project(stores, index, clock)

    outcomes = [type(flow.run()), flow.run()]
    assert [Snoozed, Done({"projected": 0})] == outcomes

    index.is_away = False
    clock.advance(timedelta(seconds=5))
    assert Done({"projected": 2}) == flow.run()


def test_refill_brings_back_everything_when_the_index_is_new() -> None:
    """After a lost index the next projections have what was there, the past included."""
    stores, index = stores_with_memories(), InMemoryIndex()
    Project(stores, InMemoryIndex(), CLOCK).run()

    assert 2 == refill_if_empty(stores, index, CLOCK)
    Project(stores, index, CLOCK).run()

    assert 2 == index.count(ALICE)


def test_refill_does_nothing_when_the_index_has_points() -> None:
    """A start of a process in between costs nothing."""
    stores, index = stores_with_memories(), InMemoryIndex()
    Project(stores, index, CLOCK).run()

    assert 0 == refill_if_empty(stores, index, CLOCK)
    assert not stores.find_due(START, 10).has_unprojected
