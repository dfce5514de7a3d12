"""What the database says of how the work gets on."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from pipelines.adapters.postgres import Database, PostgresFigures, PostgresInbox
from pipelines.adapters.postgres import figures as queries
from pipelines.model import Lane
from tests.builders import BOB, START, day, make_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Select

MANY = 20_000
LEASE = timedelta(minutes=5)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    made = Database(database_url)
    yield made
    made.close()


def test_figures_tell_age_leases_delays_and_deaths(database: Database, database_url: str) -> None:
    """Of what is due, what is held, what waits for its time, and what has failed for good."""
    inbox = PostgresInbox(database)
    made = [make_transcript("Tea.", session=f"s{number}") for number in range(4)]
    # Another user's is not parked with them.
    made.append(make_transcript("Tea.", owner=BOB))
    inbox.accept(made, START)
    held, postponed, parked, dead = (
        inbox.claim_transcript(item.id, START + MINUTE, LEASE) for item in made[:4]
    )
    assert held is not None
    assert postponed is not None
    assert parked is not None
    assert dead is not None
    inbox.postpone(postponed, day(9), "429")
    inbox.park(parked, day(9), "no budget", START, whole_tenant=False)
    inbox.dead_letter(dead, "BadReply", "no JSON", START)

    found = PostgresFigures(database_url, timedelta(days=3)).read(START + 2 * MINUTE)

    work = found.work["distill"]
    assert (1, 1, 120.0) == (work.due, work.leased, work.age_seconds)
    # It was taken a minute ago.
    assert -240.0 == work.lease_ended_seconds
    assert (2, 1, 1) == (found.delayed, found.parked, found.dead)
    assert 1 == found.work["consolidate"].due
    assert queries.WorkFigures() == found.work["backfill"]


def fill(database: Database) -> None:
    """A table in which little is to be done, and much was."""
    rows = """
        INSERT INTO transcripts (receipt, tenant_id, user_id, session_id, idempotency_key,
            content_hash, body, time_zone, started_at, ended_at, state, due_at, received_at)
        SELECT gen_random_uuid(), 't', 'u' || n, 's', n::text, '', '{}', 'UTC', now(), now(),
            CASE WHEN n % 1000 = 0 THEN 'queued' ELSE 'done' END, now(), now()
        FROM generate_series(1, :many) n
    """
    users = """
        INSERT INTO owners (tenant_id, user_id, due_at)
        SELECT 't', 'u' || n, CASE WHEN n % 1000 = 0 THEN now() END
        FROM generate_series(1, :many) n
    """
    waiting = """
        INSERT INTO outbox (memory_id, tenant_id, user_id, enqueued_at, due_at)
        SELECT gen_random_uuid(), 't', 'u', now(), now() + make_interval(secs => n)
        FROM generate_series(1, :many) n
    """
    memories = """
        INSERT INTO memories (id, tenant_id, user_id, scope, session_id, statement, statement_key,
            subject, kind, importance, state, valid_from, confirmed_at, version, distilled_by,
            embedding, updated_at, evicted_at)
        SELECT gen_random_uuid(), 't', 'u', CASE WHEN n % 4 = 0 THEN 'session' ELSE 'user' END,
            's', 'x', 'x', 'u', 'event', 1,
            CASE WHEN n % 10 = 0 THEN 'superseded' ELSE 'active' END, now(), now(), 1, 'd', '',
            now(), CASE WHEN n % 5 = 1 THEN now() END
        FROM generate_series(1, :many) n
    """
    with database.transaction() as connection:
        for statement in (rows, users, waiting, memories):
            connection.execute(text(statement), {"many": MANY})
        connection.execute(text("ANALYZE"))


def test_figures_are_read_along_indexes_when_tables_are_large(database: Database) -> None:
    """Whoever watches must not slow down what is watched."""
    fill(database)
    now = day(999)
    selects: list[Select[Any]] = [
        *(queries.due_transcripts(lane, now) for lane in Lane),
        queries.held_transcripts(),
        queries.delayed_transcripts(now),
        queries.due_owners(now),
        queries.due_outbox(START),
    ]
    with database.transaction() as connection:
        for statement in selects:
            sql = statement.compile(database.engine, compile_kwargs={"render_postcompile": True})
            explained = connection.exec_driver_sql(f"EXPLAIN {sql}", dict(sql.params))
            plan = "\n".join(explained.scalars())
            assert "Seq Scan" not in plan, plan


def test_memories_are_estimated_when_counting_them_would_cost(database: Database) -> None:
    """By the statistics of the table, which tell what is there to a few in a hundred."""
    fill(database)

    with database.transaction() as connection:
        found = queries.count_entries(connection)

    exact = {
        ("user", "structured"): MANY * 0.75 * 0.9,
        ("session", "structured"): MANY * 0.25 * 0.9,
        ("user", "semantic"): MANY * 0.75 * 0.8,
        ("session", "semantic"): MANY * 0.25 * 0.8,
    }
    assert exact.keys() == found.keys()
    assert all(abs(found[place] - count) < count * 0.1 for place, count in exact.items())


def test_memories_are_counted_when_they_are_few(database: Database) -> None:
    """Nobody has to wait for statistics of them."""
    with database.transaction() as connection:
        connection.execute(
            text("""
                INSERT INTO memories (id, tenant_id, user_id, scope, session_id, statement,
                    statement_key, subject, kind, importance, state, valid_from, confirmed_at,
                    version, distilled_by, embedding, updated_at, evicted_at)
                SELECT gen_random_uuid(), 't', 'u', 'user', 's', 'x', 'x', 'u', 'event', 1,
                    'active', now(), now(), 1, 'd', '', now(), CASE WHEN n = 1 THEN now() END
                FROM generate_series(1, 7) n
            """)
        )
        found = queries.count_entries(connection)

    assert {("user", "structured"): 7, ("user", "semantic"): 6} == found
