"""The index is built anew beside the live one: nothing is missed, lost or left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pipelines.errors import IndexUnavailable, NotFound
from pipelines.ports import Rebuild, Removal, Standing
from tests.acceptance.deployment import wait_until
from tests.builders import START, vector_of
from tests.integration.index_world import (
    MOST_TURNS,
    OWNERS,
    SIZE,
    TURN,
    IndexWorld,
    open_index_world,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipelines.model import Owner

ZERO = timedelta()
CHILD = """
import sys
from datetime import timedelta
from pathlib import Path
from tests.integration.index_world import open_index_world

with open_index_world("pgvector", sys.argv[1], sys.argv[2], Path(), batch=10) as world:
    world.reindex.start()
    while True:
        found = world.reindex.proceed(timedelta(milliseconds=1))
        print("at", found.compared, flush=True)
"""
WRITES = 25


@pytest.fixture
def world(
    request: pytest.FixtureRequest, database_url: str, key_prefix: str, tmp_path: Path
) -> Iterator[IndexWorld]:
    """Sixty memories of four users, all projected, in pgvector or what the test names."""
    kind = getattr(request, "param", "pgvector")
    with open_index_world(kind, database_url, key_prefix, tmp_path) as opened:
        for owner in OWNERS:
            opened.insert(15, owner)
        opened.project.run()
        yield opened


@pytest.mark.parametrize("world", ["pgvector", "edge"], indirect=True)
def test_reindex_while_others_write_and_recall_misses_nothing(world: IndexWorld) -> None:
    """What was there is found at every moment, and what was written meanwhile is there after."""
    stop = threading.Event()
    old = {row.memory_id for row in world.truth.list_expected(None, 100)}
    query = vector_of("tea", SIZE)

    def write(owner: Owner) -> int:
        rounds = 0
        while not stop.is_set() and rounds < WRITES:
            changed = world.change(*world.insert(4, owner))
            world.merge(changed[0])
            world.project.run()
            rounds += 1
        return rounds

    def recall(owner: Owner) -> int:
        mine = {point.memory_id for point in world.scan() if point.owner == owner} & old
        rounds = 0
        while not stop.is_set():
            found = {hit.memory_id for hit in world.index.search(owner, None, query, "tea", 20)}
            assert set() == mine - found
            rounds += 1
        return rounds

    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(write, OWNERS[0]), pool.submit(recall, OWNERS[2])]
        ended = world.rebuild()
        stop.set()
        assert all(future.result() for future in working)

    assert Standing.SWITCHED is ended.standing
    world.project.run()
    world.assert_equal()
    assert 0 == world.live.drop_leftovers(None)


@pytest.mark.parametrize("world", ["pgvector", "edge", "qdrant-local"], indirect=True)
def test_reindex_repairs_whatever_the_index_had_wrong(world: IndexWorld) -> None:
    """Points that nobody put there are gone with the old one, and those that were lost are back."""
    for owner in OWNERS[1:]:
        world.live.remove_owner(owner)
    world.remove(*world.store.export_memories("acme", OWNERS[0].user_id, None, 3))

    assert 57 == world.rebuild().compared

    world.assert_equal()
    assert 57 == len(world.scan())


def test_reindex_goes_on_after_its_driver_is_gone(world: IndexWorld) -> None:
    """Another one takes it up where it was saved; what changed in between is in the new index."""
    begun = world.reindex.start()
    begun = world.reindex.proceed(timedelta(milliseconds=1))
    (memory,) = world.insert(1, OWNERS[1])
    world.project.run()
    assert [memory.id] == [
        point.memory_id
        for point in world.live.successor(begun.token).scan(None, 100)
        if point.memory_id == memory.id
    ]

    assert begun.token == world.reindex.start().token
    ended = world.rebuild()

    assert (begun.token, Standing.SWITCHED) == (ended.token, ended.standing)
    world.assert_equal()


def test_reindex_is_taken_up_by_the_clock_when_nobody_asks(world: IndexWorld) -> None:
    """Whoever began it may be gone for good: the scheduled task brings it to its end."""
    world.reindex.start()
    turns = 0
    while (found := world.rebuilds.find()) and found.is_under_way and turns < MOST_TURNS:
        world.tend.run()
        turns += 1
    assert 2 <= turns <= 4
    world.assert_equal()


@pytest.mark.parametrize("world", ["edge", "qdrant-local"], indirect=True)
def test_reindex_is_over_when_its_driver_died_right_after_the_switch(world: IndexWorld) -> None:
    """Where the engine tells that it has happened, nothing is built again."""
    token = world.rebuild_until_complete().token
    world.live.switch(token)
    world.change(*world.store.export_memories("acme", OWNERS[0].user_id, None, 2))
    world.project.run()

    ended = world.reindex.proceed(TURN)

    assert (token, Standing.SWITCHED) == (ended.token, ended.standing)
    world.assert_equal()
    assert 0 == world.live.drop_leftovers(None)


def test_reindex_goes_on_after_its_process_was_killed(
    world: IndexWorld, database_url: str, key_prefix: str
) -> None:
    """SIGKILL leaves the live index untouched; the next one finishes what was begun."""
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, database_url, key_prefix], stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert "at" in next(line for line in child.stdout if line.startswith("at "))
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=30)
    begun = world.rebuilds.find()
    assert begun is not None
    assert begun.is_under_way
    world.assert_equal()
    world.change(*world.insert(2))

    ended = world.rebuild()

    assert (begun.token, Standing.SWITCHED) == (ended.token, ended.standing)
    world.project.run()
    world.assert_equal()


def test_reindex_starts_over_when_what_it_had_built_is_gone(world: IndexWorld) -> None:
    """Nobody writes into nothing meanwhile: changes wait until there is a place for them."""
    world.rebuild_until_complete()
    world.live.drop_leftovers(None)
    (late,) = world.insert(1)
    world.project.run()
    assert late.id in world.truth.find_waiting([late.id])

    world.reindex.proceed(TURN)
    world.execute("UPDATE outbox SET due_at = now() - interval '1 minute'")
    ended = world.rebuild()

    assert (61, Standing.SWITCHED) == (ended.compared, ended.standing)
    world.assert_equal()


def test_reindex_leaves_out_what_the_index_refuses(world: IndexWorld) -> None:
    """A memory that no index takes waits as before, and holds up nothing else."""
    memory = world.store.export_memories("acme", OWNERS[0].user_id, None, 1)[0]
    world.live.apply([], [Removal(memory.id, None)])
    world.truth.enqueue({memory.id: memory.owner}, world.clock.now() + timedelta(days=1))
    world.execute("UPDATE outbox SET attempts = 3, last_error = 'refused'")

    ended = world.rebuild()

    assert (60, Standing.SWITCHED) == (ended.compared, ended.standing)
    assert 59 == len(world.scan())
    assert world.truth.find_waiting([memory.id])[memory.id]


def test_reindex_awaits_what_can_be_found_now_and_nothing_else(world: IndexWorld) -> None:
    """A memory that waits holds up the switch if the live index has it, and only then."""
    memory = world.store.export_memories("acme", OWNERS[0].user_id, None, 1)[0]
    world.change(memory)
    world.insert(1)
    world.execute("UPDATE outbox SET due_at = now() + interval '1 hour'")
    world.reindex.start()

    for _ in range(5):
        assert not world.reindex.proceed(TURN).is_complete

    world.execute("UPDATE outbox SET due_at = now() WHERE memory_id = %s", memory.id)
    ended = world.rebuild()
    assert Standing.SWITCHED is ended.standing
    assert 60 == len(world.scan())


def test_beginning_and_ending_a_rebuild_wait_for_those_who_write(world: IndexWorld) -> None:
    """No writer who has not heard of a rebuild is still at it when it has begun, or ended."""
    rebuild = Rebuild("12345678", START, 60)
    with ThreadPoolExecutor(1) as pool:
        with world.rebuilds.sharing() as token:
            assert None is token
            beginning = pool.submit(world.rebuilds.begin, rebuild)
            wait_until(lambda: _waiting_for_gate(world) == 1, "the beginning waits", 20)
            assert not beginning.done()
        assert rebuild == beginning.result()
        assert replace(rebuild, expected=1) != world.rebuilds.begin(replace(rebuild, expected=1))

        with world.rebuilds.sharing() as token:
            assert rebuild.token == token
            ending = pool.submit(world.reindex.cancel)
            wait_until(lambda: _waiting_for_gate(world) == 1, "the end waits", 20)
            assert not ending.done()
        assert Standing.CANCELLED is ending.result().standing
    with world.rebuilds.sharing() as token:
        assert None is token


def _waiting_for_gate(world: IndexWorld) -> int:
    with world.database.transaction() as connection:
        found = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND "
            "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return int(found.scalar_one())


def test_cancelled_rebuild_leaves_the_live_index_as_it_was(world: IndexWorld) -> None:
    """What was built is deleted, writes go into the live index alone, and another may begin."""
    token = world.reindex.start().token
    world.reindex.proceed(ZERO)

    assert Standing.CANCELLED is world.reindex.cancel().standing

    with pytest.raises(IndexUnavailable):
        world.live.successor(token).scan(None, 1)
    world.change(*world.store.export_memories("acme", OWNERS[0].user_id, None, 3))
    world.project.run()
    world.assert_equal()
    assert Standing.SWITCHED is world.rebuild().standing


def test_reindex_says_so_when_there_never_was_one(world: IndexWorld) -> None:
    """Going on and giving up need something that was begun."""
    with pytest.raises(NotFound):
        world.reindex.proceed(TURN)
    with pytest.raises(NotFound):
        world.reindex.cancel()
