"""What KEDA asks PostgreSQL: how much work there is, taken or not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from memstill_client.wire import stream_key
from pipelines.adapters.postgres import Database, PostgresInbox
from pipelines.model import Lane
from tests.builders import START, day, make_transcript
from tests.unit.kubernetes.rendering import of_kind, render

if TYPE_CHECKING:
    from collections.abc import Iterator

LEASE = timedelta(days=36_500)


def triggers_of(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = of_kind(render("production"), "ScaledObject")[name]["spec"][
        "triggers"
    ]
    return found


def count(database_url: str, name: str) -> int:
    """What the scaler is told."""
    (query,) = [it["metadata"]["query"] for it in triggers_of(name) if it["type"] == "postgresql"]
    with psycopg.connect(database_url) as connection:
        ((counted,),) = connection.execute(query).fetchall()
    assert isinstance(counted, int)
    return counted


@pytest.fixture
def inbox(database_url: str) -> Iterator[PostgresInbox]:
    database = Database(database_url)
    yield PostgresInbox(database)
    database.close()


def test_distillers_are_scaled_by_what_is_due_and_what_is_leased(
    inbox: PostgresInbox, database_url: str
) -> None:
    """A worker that holds its last transcript is not one too many; what is not due counts not."""
    assert 0 == count(database_url, "memstill-distill")
    made = [make_transcript("Tea.", session=f"s{number}") for number in range(4)]
    inbox.accept([*made[:3], replace(made[3], lane=Lane.BACKFILL)], START)
    assert 3 == count(database_url, "memstill-distill")
    assert 1 == count(database_url, "memstill-backfill")

    claims = inbox.claim_together(made[0].id, lambda _, it: list(it), day(1), LEASE, 1)

    assert 3 == count(database_url, "memstill-distill")
    assert claims
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE transcripts SET state = 'done' WHERE state = 'distilling'")
        connection.execute(
            "UPDATE transcripts SET due_at = now() + interval '1 hour' WHERE lane = 'backfill'"
        )
    assert 3 - len(claims) == count(database_url, "memstill-distill")
    assert 0 == count(database_url, "memstill-backfill")


@pytest.mark.parametrize(
    ("name", "table", "columns"),
    [
        ("memstill-consolidate", "owners", "(tenant_id, user_id, due_at, lease_until)"),
        ("memstill-intake", "outbox", None),
    ],
)
def test_others_are_scaled_by_their_rows(
    database_url: str, name: str, table: str, columns: str | None
) -> None:
    """Due, leased, and not yet due."""
    columns = columns or "(tenant_id, user_id, due_at, lease_until, memory_id, enqueued_at)"
    more = "" if table == "owners" else ", gen_random_uuid(), now()"
    with psycopg.connect(database_url) as connection:
        for user, due, lease in [
            ("due", "now() - interval '1 s'", "NULL"),
            ("leased", "now() - interval '1 s'", "now() + interval '1 hour'"),
            ("later", "now() + interval '1 hour'", "NULL"),
        ]:
            row = f"('acme', '{user}', {due}, {lease}{more})"
            connection.execute(f"INSERT INTO {table} {columns} VALUES {row}")

    assert 2 == count(database_url, name)


def test_intake_is_scaled_by_the_stream_that_agents_push_to() -> None:
    """Entries are deleted when they are committed, so its length is what waits."""
    (stream,) = [it for it in triggers_of("memstill-intake") if it["type"] == "redis-streams"]
    assert stream_key("memstill") == stream["metadata"]["stream"]
    assert int(stream["metadata"]["streamLength"]) > 0
