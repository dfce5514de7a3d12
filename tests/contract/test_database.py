"""What PostgreSQL's own words mean for whoever waits."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import text

from pipelines.adapters.postgres import Database, inbox
from pipelines.errors import StoreUnavailable
from tests.builders import START, make_transcript

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from pipelines.model import ReceiptId


def test_database_that_only_reads_is_away_when_it_is_written_to(database_url: str) -> None:
    """A standby after a failover refuses no value: what was to be written waits for a primary."""
    database = Database(database_url)
    try:
        with pytest.raises(StoreUnavailable):
            _write_where_it_only_reads(database)
    finally:
        database.close()


def test_database_on_a_machine_that_is_gone_is_noticed_within_a_minute(database_url: str) -> None:
    """Whoever waits for an answer asks for signs of life; nobody would tell that it went away."""
    database = Database(database_url)
    try:
        with database.engine.connect() as connection:
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)
            asked = driver.info.get_parameters()
    finally:
        database.close()

    idle, interval, count = (
        int(asked[f"keepalives_{name}"]) for name in ("idle", "interval", "count")
    )
    assert idle + interval * count <= 60
    assert int(asked["tcp_user_timeout"]) <= 60_000


def test_connections_that_the_server_ended_at_rest_are_replaced_unnoticed(
    database_url: str,
) -> None:
    """After a restart of the server nobody gets an error for what lay in the pool."""
    database, killer = Database(database_url, pool_size=3), Database(database_url)
    try:
        with ExitStack() as stack:
            held = [stack.enter_context(database.transaction()) for _ in range(3)]
            backends = [one.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() for one in held]
        with killer.transaction() as connection:
            for backend in backends:
                ended = text("SELECT pg_terminate_backend(:backend, 10000)")
                assert connection.execute(ended, {"backend": backend}).scalar_one()

        with ExitStack() as stack:
            for _ in range(3):
                connection = stack.enter_context(database.transaction())
                anew = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
                assert anew not in backends
    finally:
        database.close()
        killer.close()


def test_inbox_takes_in_what_is_dropped_while_it_is_pushed_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was there when it was inserted, and gone when it was looked at: then it is new."""
    database = Database(database_url)
    pushed, looks = make_transcript("I live in Lisbon."), []

    def look(connection: Connection, receipts: Sequence[ReceiptId]) -> dict[Any, str]:
        looks.append(receipts)
        if len(looks) == 2:
            connection.exec_driver_sql("DELETE FROM transcripts")
        return stored_hashes(connection, receipts)

    stored_hashes = inbox._stored_hashes
    monkeypatch.setattr(inbox, "_stored_hashes", look)
    try:
        answers = [inbox.PostgresInbox(database).accept([pushed], START) for _ in range(2)]
    finally:
        database.close()

    assert [False, False] == [answer.is_duplicate for (answer,) in answers]


def _write_where_it_only_reads(database: Database) -> None:
    with database.transaction() as connection:
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")
        connection.exec_driver_sql("DELETE FROM transcripts")
