"""Migrations beside whoever uses the tables, and releases beside schemas that are not their own."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest
from typer.testing import CliRunner

from pipelines.adapters.postgres import Database, check_schema
from pipelines.adapters.postgres.migrate import Migration, Waits, migrate
from pipelines.errors import ConfigurationError, StoreRefused, StoreUnavailable
from tests.acceptance.deployment import wait_until
from tests.upgrade.revisions import NEWEST, write_revisions
from workers.cli import app

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

HASTY = Waits(lock=timedelta(milliseconds=50), patience=timedelta(seconds=0.4))
PATIENT = Waits(lock=timedelta(milliseconds=50), patience=timedelta(seconds=20))

COLUMN = 'op.execute("ALTER TABLE memories ADD COLUMN mood text")'
INDEX = 'build_index("memories_by_mood", "memories", ["kind"])'
DROP = 'op.execute("ALTER TABLE memories DROP COLUMN mood")'


@contextmanager
def table_in_use(url: str) -> Iterator[psycopg.Connection]:
    """A transaction that has read the memories and goes on."""
    with psycopg.connect(url) as connection:
        connection.execute("SELECT 1 FROM memories LIMIT 1")
        yield connection


def heads(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        rows: Sequence[tuple[str]] = connection.execute(
            "SELECT version_num FROM alembic_version ORDER BY 1"
        ).fetchall()
    return [number for (number,) in rows]


def test_only_what_adds_is_applied_when_nothing_else_is_asked_for(
    database_url: str, tmp_path: Path
) -> None:
    """What contracts waits, also where newer revisions that add come after it."""
    folder = write_revisions(
        tmp_path,
        ("9001", NEWEST, "expand", COLUMN),
        ("9002", "9001", "contract", DROP),
        ("9003", "9001", "expand", INDEX),
    )

    first = migrate(database_url, more=folder)
    again = migrate(database_url, more=folder)
    last = migrate(database_url, more=folder, contracts=True)

    assert Migration(("9001", "9003"), ("9002",)) == first
    assert Migration((), ("9002",)) == again
    assert Migration(("9002",), ()) == last
    assert ["9002", "9003"] == heads(database_url)


def test_command_says_that_there_is_nothing_more_to_do(database_url: str) -> None:
    """Run again, on a database that has everything, it does nothing and ends well."""
    env = {"MEMSTILL_DATABASE_URL": database_url}

    ended = [
        CliRunner().invoke(app, words, env=env)
        for words in (["migrate"], ["migrate", "--contract"])
    ]

    assert [(0, "the database is at the newest schema\n")] * 2 == [
        (result.exit_code, result.stderr) for result in ended
    ]


def test_table_in_use_is_waited_for_in_short_turns_and_nobody_queues_for_long(
    database_url: str, tmp_path: Path
) -> None:
    """While a revision waits for a table, whoever wants to read it gets through in between."""
    folder = write_revisions(tmp_path, ("9001", NEWEST, "expand", COLUMN))
    said: list[str] = []
    with table_in_use(database_url) as user:
        thread = threading.Thread(
            target=lambda: migrate(database_url, more=folder, waits=PATIENT, note=said.append)
        )
        thread.start()
        wait_until(lambda: len(said) > 1, "the revision has waited twice", 10)
        with psycopg.connect(database_url) as other:
            other.execute("SET lock_timeout = '1s'; SELECT 1 FROM memories LIMIT 1")
        user.rollback()
        thread.join(10)

    assert ["9001"] == heads(database_url)
    assert "9001: memories is locked by others; again in " == said[0][: len(said[0]) - 5]


def test_error_names_table_and_holder_when_a_table_stays_locked(
    database_url: str, tmp_path: Path
) -> None:
    """The operator learns whom to end; the revisions before it stay, and the next run goes on."""
    folder = write_revisions(
        tmp_path,
        ("9001", NEWEST, "expand", 'op.execute("CREATE TABLE moods (id int)")'),
        ("9002", "9001", "expand", COLUMN),
    )
    with table_in_use(database_url) as user:
        holder = user.info.backend_pid
        with pytest.raises(StoreUnavailable, match=rf"9002: memories .* process {holder} "):
            migrate(database_url, more=folder, waits=HASTY)
        assert ["9001"] == heads(database_url)

    assert Migration(("9002",), ()) == migrate(database_url, more=folder, waits=HASTY)


def test_index_is_built_anew_when_a_build_was_cut_off(database_url: str, tmp_path: Path) -> None:
    """A build that waited in vain leaves an index that nobody uses: it is replaced."""
    folder = write_revisions(tmp_path, ("9001", NEWEST, "expand", INDEX))
    state = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'memories_by_mood'::regclass"
    with psycopg.connect(database_url) as writer:
        writer.execute("LOCK memories IN ROW EXCLUSIVE MODE")
        with pytest.raises(StoreUnavailable, match="9001: memories"):
            migrate(database_url, more=folder, waits=HASTY)
    with psycopg.connect(database_url) as reader:
        assert (False,) == reader.execute(state).fetchone()

    migrate(database_url, more=folder)

    with psycopg.connect(database_url) as reader:
        assert (True,) == reader.execute(state).fetchone()


def test_second_migration_waits_for_the_first_one(database_url: str, tmp_path: Path) -> None:
    """Two at once apply each revision once; who waits says so."""
    folder = write_revisions(tmp_path, ("9001", NEWEST, "expand", COLUMN))
    said: list[str] = []
    results: list[Migration] = []

    def run() -> None:
        results.append(migrate(database_url, more=folder, waits=PATIENT, note=said.append))

    threads = [threading.Thread(target=run) for _ in range(2)]
    with table_in_use(database_url) as user:
        for thread in threads:
            thread.start()
        wait_until(lambda: any("another" in text for text in said), "one waits for the other", 10)
        user.rollback()
        for thread in threads:
            thread.join(10)

    assert {Migration((), ()), Migration(("9001",), ())} == set(results)


def test_revision_that_fails_leaves_nothing_behind(database_url: str, tmp_path: Path) -> None:
    """It is one transaction, and the error names it."""
    both = f'{COLUMN}; op.execute("ALTER TABLE nothing ADD COLUMN mood text")'
    folder = write_revisions(tmp_path, ("9001", NEWEST, "expand", both))

    with pytest.raises(StoreRefused, match=r"9001 failed \(UndefinedTable\)"):
        migrate(database_url, more=folder)

    with psycopg.connect(database_url) as reader:
        columns = "SELECT 1 FROM information_schema.columns WHERE column_name = 'mood'"
        assert [] == reader.execute(columns).fetchall()
    assert [NEWEST] == heads(database_url)


def test_release_works_on_a_schema_that_a_newer_one_has_added_to(
    database_url: str, tmp_path: Path
) -> None:
    """It starts, and its own migration finds nothing to do."""
    folder = write_revisions(tmp_path, ("9001", NEWEST, "expand", COLUMN))
    migrate(database_url, more=folder)

    with closing(Database(database_url)) as database:
        check_schema(database)

    assert Migration((), ()) == migrate(database_url)


def test_release_is_refused_when_a_newer_one_took_away_what_it_uses(
    database_url: str, tmp_path: Path
) -> None:
    """It neither starts nor migrates, and says that a newer release is needed."""
    folder = write_revisions(
        tmp_path,
        ("9001", NEWEST, "expand", COLUMN),
        ("9002", "9001", "contract", DROP),
    )
    migrate(database_url, more=folder, contracts=True)

    with (
        closing(Database(database_url)) as database,
        pytest.raises(ConfigurationError, match=r"9002 .* newer release"),
    ):
        check_schema(database)
    with pytest.raises(ConfigurationError, match=r"9002 .* newer release"):
        migrate(database_url)


def test_nothing_is_taken_away_while_an_older_release_is_connected(
    database_url: str, tmp_path: Path
) -> None:
    """What only adds is applied all the same; once nobody older is there, the rest is, too."""
    folder = write_revisions(
        tmp_path,
        ("9001", NEWEST, "expand", COLUMN),
        ("9002", "9001", "contract", DROP),
    )
    with closing(Database(database_url)) as older:
        older.ping()
        with pytest.raises(ConfigurationError, match=rf"9002 .*memstill/{NEWEST}"):
            migrate(database_url, more=folder, contracts=True)
    assert "9001" in heads(database_url)

    assert Migration(("9002",), ()) == migrate(database_url, more=folder, contracts=True)


def test_release_is_refused_when_the_schema_is_too_old(database_url: str) -> None:
    """It says which command brings the schema up."""
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0013'")

    with (
        closing(Database(database_url)) as database,
        pytest.raises(ConfigurationError, match=r"at revision 0013.*run `memstill migrate`"),
    ):
        check_schema(database)
