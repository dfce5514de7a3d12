"""Projecting, and filling an index that has lost everything."""

from __future__ import annotations

from pipelines.flows.project import Project, refill_if_empty
from pipelines.model import MemoryState
from pipelines.plan import Insert, Plan
from pipelines.testing.index import InMemoryIndex
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock
from tests.builders import ALICE, START, day, make_fact, make_memory
from tests.unit.flows.distilling import LEASE

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


def test_refill_brings_back_everything_when_the_index_is_new() -> None:
    """After a lost index the next projections have what was there, the past included."""
    stores, index = stores_with_memories(), InMemoryIndex()
    Project(stores, InMemoryIndex()).run()

    assert 2 == refill_if_empty(stores, index, CLOCK)
    Project(stores, index).run()

    assert 2 == index.count(ALICE)


def test_refill_does_nothing_when_the_index_has_points() -> None:
    """A start of a process in between costs nothing."""
    stores, index = stores_with_memories(), InMemoryIndex()
    Project(stores, index).run()

    assert 0 == refill_if_empty(stores, index, CLOCK)
    assert not stores.find_due(START, 10).has_unprojected
