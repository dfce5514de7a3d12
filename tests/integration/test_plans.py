"""Whether any statement of the road or of a recall reads through everybody's rows.

What PostgreSQL plans depends on how much there is and on what it has counted. So it is told that
there are millions of rows, and asked what it can do at all: with sequential scans discouraged it
falls back on one only where no index leads to the rows.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import Engine, event

from config.settings import Settings
from memstill_client.wire import parse_transcript
from pipelines.flows.recall import Question
from pipelines.model import Lane, Owner
from pipelines.outcome import Done
from workers.app import make_app
from workers.container import Container, open_container
from workers.payloads import to_transcript

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Whatever has a row for each session, memory or user.
GROWING = {
    "transcripts",
    "facts",
    "memories",
    "memory_uses",
    "evidence",
    "events",
    "outbox",
    "owners",
    "replies",
    "reviews",
    "verdicts",
    "profile_entries",
    "old_receipts",
    "legal_holds",
}
TENANT = "default"
SAID = ("I live in Porto.", "My sister Ana has a dog.", "I work as a nurse.", "I love green tea.")


@pytest.fixture
def statements(database_url: str, redis_url: str, key_prefix: str) -> set[str]:
    """What the road of some sessions and recalls of their users execute, as it is prepared."""
    settings = Settings(
        database_url=database_url,
        redis_url=redis_url,
        key_prefix=key_prefix,
        index_url="pgvector",
    )
    found: set[str] = set()
    container = open_container(settings, make_app(settings))
    with _noting(found):
        try:
            _live(container)
        finally:
            container.close()
    return found


@contextmanager
def _noting(found: set[str]) -> Iterator[None]:
    """Prepare each statement where it is executed, and note them when a connection is closed."""

    def prepare_all(connection: psycopg.Connection[Any], *_: object) -> None:
        connection.prepare_threshold = 0
        connection.prepared_max = None

    def note(connection: psycopg.Connection[Any], _: object) -> None:
        connection.rollback()
        prepared = connection.execute("SELECT statement FROM pg_prepared_statements", ())
        found.update(statement for (statement,) in prepared)

    event.listen(Engine, "checkout", prepare_all)
    event.listen(Engine, "close", note)
    try:
        yield
    finally:
        event.remove(Engine, "checkout", prepare_all)
        event.remove(Engine, "close", note)


def _live(container: Container) -> None:
    now = datetime.now(UTC)
    for day in range(3):
        container.ingest.run([_session(user, day, now) for user in range(5)])
        while isinstance(container.distill.run_next(Lane.INTERACTIVE).outcome, Done):
            pass
        for user in range(5):
            container.consolidate.run(_owner(user))
        container.project.run()
        container.sweep.run()
    for user in range(5):
        for as_of in (None, now - timedelta(days=1)):
            told = container.recall.run(
                Question(_owner(user), "Where do I live?", 5, 400, as_of=as_of)
            )
        assert told is not None
    container.lifecycle.count_uses.run()


def _session(user: int, day: int, now: datetime) -> Any:  # noqa: ANN401 - a transcript
    session = {
        "schema_version": 1,
        "user_id": _owner(user).user_id,
        "session_id": f"{user}-{day}",
        "messages": [
            {"role": "user", "content": said, "created_at": (now - timedelta(hours=1)).isoformat()}
            for said in (*SAID, f"I met {user} friends on day {day}.")
        ],
    }
    pushed = parse_transcript(json.dumps(session).encode(), now=now, max_bytes=100_000)
    return to_transcript(pushed, default_tenant=TENANT)


def _owner(user: int) -> Owner:
    return Owner(TENANT, f"user-{user}")


def _scans(
    plan: dict[str, Any], partial: set[str], above: tuple[str, ...] = ()
) -> Iterator[tuple[str, str]]:
    """Each look at a table that reads all of it, and by what.

    An index of what waits holds nothing else, and may be read from one end to the other.
    """
    kind, table = plan["Node Type"], plan.get("Relation Name", "")
    is_bounded = any(it in plan for it in ("Index Cond", "Recheck Cond", "TID Cond"))
    # The first of an order are read, and no more: the line, what is due.
    is_cut = "Limit" in above and kind in ("Index Scan", "Index Only Scan")
    if "Scan" in kind and not (is_bounded or is_cut or plan.get("Index Name") in partial):
        yield kind, table
    for part in plan.get("Plans", ()):
        yield from _scans(part, partial, (*above, kind))


def _find_readers(
    database_url: str, statements: Iterable[str], growing: set[str]
) -> dict[str, list[tuple[str, str]]]:
    """The statements that can only read all of one of these tables, and how they do."""
    found: dict[str, list[tuple[str, str]]] = {}
    with psycopg.connect(database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        _pretend_many(connection, growing)
        rows = connection.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE indpred IS NOT NULL"
        )
        partial = {name for (name,) in rows}
        for statement in statements:
            # Without parameters the driver looks for none: those of the statement are numbered.
            explain: Any = f"EXPLAIN (GENERIC_PLAN, FORMAT JSON) {statement}"
            explained = connection.execute(explain).fetchone()
            assert explained is not None
            scans = [it for it in _scans(explained[0][0]["Plan"], partial) if it[1] in growing]
            if scans:
                found[statement] = scans
        connection.rollback()
    return found


def _pretend_many(connection: psycopg.Connection[Any], tables: set[str]) -> None:
    """Have a few rows planned for as if they were millions: it reads all of a few, whatever helps.

    Rows are counted by their pages, so each page is said to hold a million; a table that has none
    is said to be unknown, for which some pages are assumed. What the values are like is forgotten:
    whether they were looked at before this is chance.
    """
    connection.execute(
        "UPDATE pg_class SET relpages = 1,"
        " reltuples = CASE WHEN pg_relation_size(oid) = 0 THEN -1 ELSE 1e6 END"
        " WHERE relname = ANY(%s)",
        (list(tables),),
    )
    connection.execute(
        "DELETE FROM pg_statistic USING pg_class"
        " WHERE starelid = pg_class.oid AND relname = ANY(%s)",
        (list(tables),),
    )


def test_a_statement_that_no_index_helps_is_found_out(database_url: str) -> None:
    """Whether it scans the rows, or an index from one end to the other."""
    bad = ("SELECT id FROM memories WHERE statement = $1", "SELECT count(*) FROM owners")
    good = ("SELECT id FROM memories WHERE tenant_id = $1 AND user_id = $2",)

    assert set(bad) == _find_readers(database_url, (*bad, *good), GROWING).keys()


def test_no_statement_of_the_road_or_of_a_recall_reads_a_whole_table(
    statements: set[str], database_url: str, key_prefix: str
) -> None:
    """However many users there are, each is found by an index."""
    growing = GROWING | {f"{key_prefix}.all-minilm-l6-v2-384"}
    wanted = [statement for statement in statements if any(map(statement.__contains__, growing))]
    read = _find_readers(database_url, wanted, growing)
    assert len(statements) > 40
    assert not read, "\n\n".join(f"{scans}: {statement}" for statement, scans in read.items())
