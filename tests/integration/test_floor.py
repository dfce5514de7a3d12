"""The floor and a real database: who waits for it keeps nobody else from work."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from pipelines.adapters.floor import Floor
from pipelines.adapters.postgres import Database

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Iterator

SECONDS = 10.0
LOCK = text("SELECT pg_advisory_xact_lock(7)")


@pytest.fixture
def floor(monkeypatch: pytest.MonkeyPatch) -> Floor:
    """One that nobody loses by being stuck."""
    made = Floor(stuck_seconds=10 * SECONDS)
    monkeypatch.setattr("pipelines.adapters.postgres.driver.floor", made)
    return made


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url, pool_size=2)
    made.ping()
    yield made
    made.close()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as made:
        yield made


def test_who_waits_for_an_answer_leaves_the_floor_until_it_is_there(
    floor: Floor, database: Database, threads: ThreadPoolExecutor
) -> None:
    has_floor = threading.Event()

    def ask() -> bool:
        with floor.taken(), database.transaction() as connection:
            has_floor.set()
            connection.execute(LOCK)
            return floor.is_mine

    def come() -> None:
        with floor.taken():
            pass

    with database.transaction() as holder:
        holder.execute(LOCK)
        asking = threads.submit(ask)
        assert has_floor.wait(SECONDS)
        threads.submit(come).result(SECONDS)
        assert not asking.done()
    assert asking.result(SECONDS), "it has come back"


def test_who_waits_for_a_connection_leaves_the_floor_to_those_who_have_them(
    floor: Floor, database: Database, threads: ThreadPoolExecutor
) -> None:
    all_out = threading.Barrier(3)
    back, has_floor = threading.Event(), threading.Event()

    def hold() -> None:
        with floor.taken(), database.transaction(), floor.left():
            all_out.wait(SECONDS)
            assert back.wait(SECONDS)

    def ask() -> bool:
        with floor.taken():
            has_floor.set()
            database.ping()
            return floor.is_mine

    holding = [threads.submit(hold) for _ in range(2)]
    all_out.wait(SECONDS)
    asking = threads.submit(ask)
    assert has_floor.wait(SECONDS)
    back.set()
    assert asking.result(SECONDS)
    for one in holding:
        one.result(SECONDS)


def test_a_statement_that_fails_leaves_the_floor_where_it_was(
    floor: Floor, database: Database
) -> None:
    with floor.taken():
        with pytest.raises(Exception, match="PostgreSQL"), database.transaction() as connection:
            connection.execute(text("SELECT 1 / length(CAST(pg_sleep(0.05) AS text))"))
        database.ping()
        had = floor.is_mine
    assert had
    assert not floor.is_mine


def test_who_waits_long_is_not_in_line_before_there_is_an_answer(
    floor: Floor, database: Database
) -> None:
    """psycopg looks ten times a second whether it is interrupted: that is nothing to come for."""
    comings = 0
    take = floor._take

    def count(line: deque[threading.Lock]) -> None:
        nonlocal comings
        comings += 1
        take(line)

    floor._take = count  # type: ignore[method-assign]
    with floor.taken(), database.transaction() as connection:
        comings = 0
        connection.execute(text("SELECT pg_sleep(0.5)"))
    assert comings <= 2
