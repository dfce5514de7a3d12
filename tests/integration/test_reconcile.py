"""What the index and the rows disagree on is found and mended; nothing else is reported."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pipelines.model import Owner
from pipelines.outcome import Done, Skipped
from pipelines.ports import Difference, Removal
from pipelines.testing.index import InMemoryIndex
from tests.contract.points import make_point
from tests.integration.index_world import OWNERS, TURN, IndexWorld, open_index_world

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipelines.flows.gated import GatedIndex
    from pipelines.flows.reconcile import Reconciled
    from pipelines.model import MemoryId
    from pipelines.ports import IndexedPoint

ZERO = timedelta()


@pytest.fixture
def world(database_url: str, key_prefix: str, tmp_path: Path) -> Iterator[IndexWorld]:
    """Sixty memories of four users, all projected; compared in batches of twenty."""
    with open_index_world("pgvector", database_url, key_prefix, tmp_path) as opened:
        for owner in OWNERS:
            opened.insert(15, owner)
        opened.project.run()
        yield opened


def look(world: IndexWorld, *, repairs: bool = False) -> Reconciled:
    return world.reconcile.run(None, TURN, repairs=repairs)


def test_reconcile_finds_nothing_when_the_index_is_as_it_should_be(world: IndexWorld) -> None:
    """Every row is compared, over several batches, and nothing is mended that is not broken."""
    found = look(world, repairs=True)

    assert (60, {}, 0, None) == (found.compared, found.found, found.repaired, found.after)
    assert 0 == world.waker.index


def test_reconcile_finds_and_mends_each_kind_of_difference(world: IndexWorld) -> None:
    """Missing, stale, orphaned, foreign and ahead: told by their ids, mended by one projection."""
    rows = world.store.export_memories("acme", None, None, 100)
    missing, stale, gone, merged, foreign, ahead = rows[3::9][:6]
    live = world.live
    live.apply([], [Removal(missing.id, None)])
    world.change(stale)
    world.merge(merged)
    world.remove(gone)
    world.execute("DELETE FROM outbox")
    live.apply([], [Removal(foreign.id, None)])
    moved = make_point("x", owner=Owner("globex", "eve"), memory_id=foreign.id)
    live.apply([moved, make_point("x", memory_id=ahead.id, owner=ahead.owner, version=9)], [])
    stray = make_point("stray", owner=Owner("nobody", "known"), version=4)
    live.apply([stray], [])

    seen = look(world)

    expected = {
        Difference.MISSING: {missing.id},
        Difference.STALE: {stale.id},
        Difference.ORPHANED: {gone.id, merged.id, stray.memory_id},
        Difference.FOREIGN: {foreign.id},
        Difference.AHEAD: {ahead.id},
    }
    assert expected == {kind: set(keys) for kind, keys in seen.examples.items()}
    assert {kind: len(keys) for kind, keys in expected.items()} == seen.found
    assert 0 == seen.repaired

    assert 7 == look(world, repairs=True).repaired
    assert {} == look(world).found  # what waits is no difference
    world.project.run()
    world.assert_equal()
    assert {} == look(world).found
    assert 1 <= world.waker.index


def test_reconcile_goes_on_where_a_turn_ended(world: IndexWorld) -> None:
    """A turn without time is one batch; turns one after another see everything once."""
    lost = world.scan()[::7]
    world.live.apply([], [Removal(point.memory_id, None) for point in lost])

    turns = [world.reconcile.run(None, ZERO, repairs=False)]
    while turns[-1].after is not None:
        turns.append(world.reconcile.run(turns[-1].after, ZERO, repairs=False))

    assert len(turns) >= 3
    assert 60 == sum(turn.compared for turn in turns)
    assert len(lost) == sum(turn.found.get(Difference.MISSING, 0) for turn in turns)


def test_reconcile_looks_through_an_index_that_is_lost_or_all_there_is(world: IndexWorld) -> None:
    """An empty index lacks every memory; an empty database leaves every point an orphan."""
    for owner in OWNERS:
        world.live.remove_owner(owner)
    seen = look(world)
    assert ({Difference.MISSING: 60}, 10) == (seen.found, len(seen.examples[Difference.MISSING]))

    look(world, repairs=True)
    world.project.run()
    world.execute("DELETE FROM memories")
    assert {Difference.ORPHANED: 60} == look(world, repairs=True).found
    world.project.run()
    assert [] == world.scan()


def test_reconcile_raises_no_false_alarm_while_others_write(world: IndexWorld) -> None:
    """With two writers and two projecting workers at it, nothing is ever said to differ."""
    stop = threading.Event()

    def write(owner: Owner) -> int:
        rounds = 0
        while not stop.is_set():
            made = world.insert(5, owner)
            changed = world.change(*made[:3])
            world.merge(changed[0])
            rounds += 1
        return rounds

    def project() -> int:
        rounds = 0
        while not stop.is_set():
            world.project.run()
            rounds += 1
        return rounds

    with ThreadPoolExecutor(4) as pool:
        working = [pool.submit(write, owner) for owner in OWNERS[:2]]
        working += [pool.submit(project) for _ in range(2)]
        reports = [look(world) for _ in range(12)]
        stop.set()
        assert all(future.result() > 3 for future in working)
    assert [{}] * 12 == [report.found for report in reports]
    world.project.run()
    world.assert_equal()


class Interrupted(InMemoryIndex):
    """The index of a world, with something done before or behind the n-th look at its points."""

    def __init__(self, index: GatedIndex, **at: Callable[[], object]) -> None:
        super().__init__()
        self._index = index
        self._at = at
        self._looks = 0

    def scan(self, after: MemoryId | None, limit: int) -> list[IndexedPoint]:
        self._looks += 1
        self._at.get(f"before_{self._looks}", list)()
        found = self._index.scan(after, limit)
        self._at.get(f"behind_{self._looks}", list)()
        return found


def test_reconcile_is_not_misled_by_what_is_written_between_rows_and_points(
    world: IndexWorld,
) -> None:
    """New, changed and merged memories look orphaned, ahead and missing once, and only once."""
    world.policy = replace(world.policy, batch=100)
    changed, merged, *_ = world.store.export_memories("acme", OWNERS[0].user_id, None, 2)

    def write() -> None:
        world.insert(1)
        world.change(changed)
        world.merge(merged)
        world.project.run()

    index = Interrupted(world.index, before_1=write)
    found = replace(world.reconcile, index=index).run(None, TURN, repairs=False)

    assert {} == found.found


def test_reconcile_is_not_misled_by_what_is_projected_behind_the_second_look(
    world: IndexWorld,
) -> None:
    """What waited at the first look was on its way, whenever it arrives."""
    world.policy = replace(world.policy, batch=100)
    world.change(*world.store.export_memories("acme", OWNERS[0].user_id, None, 2))

    index = Interrupted(world.index, behind_1=list, behind_2=world.project.run)
    found = replace(world.reconcile, index=index).run(None, TURN, repairs=False)

    assert {} == found.found
    world.live.apply([], [Removal(world.scan()[0].memory_id, None)])
    index = Interrupted(world.index, behind_2=world.project.run)
    seen = replace(world.reconcile, index=index).run(None, TURN, repairs=False)
    assert {Difference.MISSING: 1} == seen.found


def test_rounds_begin_once_in_an_interval_whoever_fires_them(world: IndexWorld) -> None:
    """Fired twice at once or again within the day, all is compared once, and then mended."""
    lost = world.scan()[5]
    world.live.apply([], [Removal(lost.memory_id, None)])

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(lambda _: world.tend.run(), range(2)))
    outcomes.append(world.tend.run())

    done = [outcome for outcome in outcomes if isinstance(outcome, Done)]
    assert [{"compared": 60, "repaired": 1}] == [outcome.counts for outcome in done]
    assert 2 == len([outcome for outcome in outcomes if isinstance(outcome, Skipped)])
    world.project.run()
    world.assert_equal()


def test_rounds_go_on_where_the_turn_before_ended_and_come_back_when_due(
    world: IndexWorld,
) -> None:
    """A round longer than a turn is finished by later ones; after the interval there is another."""
    world.policy = replace(world.policy, turn=ZERO, interval=timedelta(hours=1))
    turns = 0
    while isinstance(world.tend.run(), Done):
        turns += 1
    assert turns >= 3

    world.policy = replace(world.policy, turn=TURN, interval=ZERO)
    assert Done({"compared": 60, "repaired": 0}) == world.tend.run()


def test_truth_lists_every_memory_once_in_the_order_of_ids(world: IndexWorld) -> None:
    """Page by page, of all tenants and in any state; what waits is told apart."""
    truth = world.truth
    pages = [truth.list_expected(None, 25)]
    while len(pages[-1]) == 25:
        pages.append(truth.list_expected(pages[-1][-1].memory_id, 25))
    keys = [row.memory_id for page in pages for row in page]

    assert (60, 60) == (len(keys), truth.count())
    assert sorted(keys) == keys
    assert {} == truth.find_waiting(keys)
    orphan = uuid.uuid4()
    owners = {keys[0]: OWNERS[0], orphan: OWNERS[1]}
    assert 2 == truth.enqueue(owners, world.clock.now())  # type: ignore[arg-type]
    assert 0 == truth.enqueue(owners, world.clock.now())  # type: ignore[arg-type]
    assert {keys[0]: False, orphan: False} == truth.find_waiting([*keys, orphan])  # type: ignore[list-item]
