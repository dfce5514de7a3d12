"""What a backup and a restore refuse, and what they leave behind when they are cut off."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import psycopg
import pytest

from config.settings import Settings
from memstill_client import Memstill
from pipelines.adapters.postgres import Database
from pipelines.adapters.postgres.migrate import migrate
from pipelines.errors import ConfigurationError, InputError
from tests.acceptance.deployment import wait_until
from tests.conftest import copied_database
from tests.integration.backups import (
    back_up,
    differences_of,
    migrate_to,
    restore,
    run,
)
from workers.app import make_app
from workers.container import open_container

if TYPE_CHECKING:
    from pathlib import Path

    from workers.embedded.postgres import PostgresServer


@pytest.fixture(scope="module")
def small(
    postgres_server: PostgresServer,
    template_database: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A backup with some rows, never to be changed."""
    file = tmp_path_factory.mktemp("small") / "small.memstill"
    with copied_database(postgres_server, template_database) as url:
        with psycopg.connect(url) as connection:
            add_users(connection)
        back_up(url, file)
    return file


def add_users(connection: psycopg.Connection) -> None:
    connection.execute(
        "INSERT INTO owners (tenant_id, user_id) SELECT 'acme', 'user ' || number"
        " FROM generate_series(1, 50) AS number"
    )


def is_untouched(url: str) -> bool:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public'").fetchall()
    return not rows


def rewrite(file: Path, **changes: object) -> Path:
    """The same backup with another manifest."""
    other = file.with_name(f"{'-'.join(changes)}.memstill")
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(other, "w") as new:
        new.writestr("memstill.dump", old.read("memstill.dump"))
        manifest = json.loads(old.read("manifest.json")) | changes
        new.writestr("manifest.json", json.dumps(manifest))
    return other


def test_file_that_is_no_whole_backup_is_refused_and_changes_nothing(
    small: Path, empty_url: str, tmp_path: Path
) -> None:
    """Cut off anywhere, with a wrong byte, foreign, or of a later format."""
    whole = small.read_bytes()
    broken = tmp_path / "broken.memstill"
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    pieces = [whole[: len(whole) * part // 8] for part in range(8)]
    for content in [*pieces, whole[:-1], bytes(damaged), b"PGDMP and what follows"]:
        broken.write_bytes(content)
        with pytest.raises(InputError, match="no backup of memstill, or is cut off or damaged"):
            restore(empty_url, broken, "--no-erasures")
    with zipfile.ZipFile(broken, "w") as foreign:
        foreign.writestr("manifest.json", "{}")
    for file, reason in (
        (broken, "no backup of memstill"),
        (tmp_path / "nowhere", "cannot be read"),
        (rewrite(small, schema_version=2, more=1), "a backup of format 2"),
        (rewrite(small, revision="9999"), "restore it with the memstill that wrote it"),
    ):
        with pytest.raises(InputError, match=reason):
            restore(empty_url, file, "--no-erasures")
    assert is_untouched(empty_url)


def test_restore_that_differs_from_its_manifest_is_taken_back(small: Path, empty_url: str) -> None:
    """What was loaded is compared before it is committed, and then the same file can come again."""
    with zipfile.ZipFile(small) as archive:
        tables = json.loads(archive.read("manifest.json"))["tables"]
    tables["owners"]["digest"] = "0" * 64
    with pytest.raises(InputError, match=r"not what its manifest says \(owners\)"):
        restore(empty_url, rewrite(small, tables=tables), "--no-erasures")
    assert is_untouched(empty_url)

    assert 50 == restore(empty_url, small, "--no-erasures")["rows"]["owners"]


def test_restore_refuses_a_database_that_is_not_empty_or_in_use(
    small: Path, database_url: str, empty_url: str
) -> None:
    """Rows of ours, tables of somebody else, or workers that are connected: nothing is touched."""
    with psycopg.connect(database_url) as connection:
        add_users(connection)
    with pytest.raises(ConfigurationError, match=r"not empty \(owners\): restore into one that is"):
        restore(database_url, small, "--no-erasures")
    with psycopg.connect(empty_url) as connection:
        connection.execute("CREATE TABLE alembic_version (version_num text)")
    with pytest.raises(ConfigurationError, match="tables of something else"):
        restore(empty_url, small, "--no-erasures")
    with psycopg.connect(empty_url) as connection:
        connection.execute("DROP TABLE alembic_version")
    worker = Database(empty_url, pool_size=1)
    worker.ping()
    with pytest.raises(ConfigurationError, match="stop workers, beat and API"):
        restore(empty_url, small, "--no-erasures")
    worker.close()
    # As `memstill migrate` and a first start leave it.
    migrate(empty_url)
    with psycopg.connect(empty_url) as connection:
        connection.execute("INSERT INTO installation VALUES ('embedding', '{}')")
    wait_until(lambda: not _is_used(empty_url), "the connections are gone", 10)
    assert 50 == restore(empty_url, small, "--no-erasures")["rows"]["owners"]


def _is_used(url: str) -> bool:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
            " AND split_part(application_name, '/', 1) = 'memstill'"
        ).fetchall()
    return bool(found)


def test_interrupted_restore_keeps_workers_out_and_can_be_repeated(
    small: Path, empty_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Until the erasures are done again nobody is served from the database, or backs it up."""
    from pipelines.adapters.postgres.restoring import PostgresRestoring

    def cut(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(PostgresRestoring, "erase_again", cut)
        with pytest.raises((KeyboardInterrupt, AssertionError)):
            restore(empty_url, small, "--no-erasures")
    settings = Settings(database_url=empty_url, redis_url=redis_url, index_url="pgvector")
    with pytest.raises(ConfigurationError, match="was not finished"):
        open_container(settings, make_app(settings))
    with pytest.raises(ConfigurationError, match="run `memstill restore` again first"):
        back_up(empty_url, tmp_path / "half.memstill")
    wait_until(lambda: not _is_used(empty_url), "the connections are gone", 10)

    assert 50 == restore(empty_url, small, "--no-erasures")["rows"]["owners"]
    open_container(settings, make_app(settings)).close()


def test_backup_of_an_older_schema_is_migrated_after_it_was_restored(
    postgres_server: PostgresServer, empty_url: str, tmp_path: Path
) -> None:
    """A backup is taken with the new memstill before the database is migrated, and comes back."""
    with copied_database(postgres_server, "template1") as old:
        database = Database(old, pool_size=1)
        with database.transaction() as connection:
            migrate_to(connection, "0011")
            connection.exec_driver_sql(
                "INSERT INTO owners (tenant_id, user_id, fence) VALUES ('acme', 'alice', 3)"
            )
        database.close()
        assert "0011" == back_up(old, tmp_path / "old.memstill")["revision"]

    restore(empty_url, tmp_path / "old.memstill", "--no-erasures")

    with psycopg.connect(empty_url) as connection:
        assert [("alice",)] == connection.execute("SELECT user_id FROM owners").fetchall()
        (fence,) = connection.execute("SELECT fence FROM owners").fetchone() or (0,)
        assert fence > datetime.now(UTC).timestamp()
    assert [] == differences_of(empty_url)


def test_backup_counts_what_the_stream_still_holds(
    database_url: str,
    redis_url: str,
    key_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever was acknowledged before a backup is in it, or said not to be."""
    monkeypatch.setattr("workers.backup_commands.PATIENCE", timedelta(seconds=0.3))
    env = {"MEMSTILL_REDIS_URL": redis_url, "MEMSTILL_KEY_PREFIX": key_prefix}
    with Memstill(
        api_url="http://127.0.0.1:9", redis_url=redis_url, key_prefix=key_prefix
    ) as agent:
        for number in range(2):
            agent.enqueue(
                user_id="alice",
                session_id=f"s{number}",
                messages=[{"role": "user", "content": "I like tea."}],
            )
    assert 2 == back_up(database_url, tmp_path / "a", **env)["unread"]
    nobody = env | {"MEMSTILL_REDIS_URL": "redis://127.0.0.1:9/0"}
    assert back_up(database_url, tmp_path / "b", **nobody)["unread"] is None


def test_backup_leaves_a_file_alone_that_is_there(database_url: str, tmp_path: Path) -> None:
    """It is replaced when asked for, by one that is whole."""
    file = tmp_path / "b.memstill"
    file.write_text("precious")
    with pytest.raises(InputError, match="is there already"):
        back_up(database_url, file)
    assert "precious" == file.read_text()

    run("backup", file, "--replace", env={"MEMSTILL_DATABASE_URL": database_url})

    assert zipfile.is_zipfile(file)
    assert [file] == list(tmp_path.iterdir())


def test_restore_asks_what_was_erased_since(small: Path, empty_url: str, tmp_path: Path) -> None:
    """Nobody forgets by accident that a backup brings back who was erased."""
    with pytest.raises(ConfigurationError, match="brings back who was erased since"):
        restore(empty_url, small)
    journal = tmp_path / "journal.json"
    journal.write_text('{"format": "memstill-erasures", "schema_version": 1, "erasures": [')
    with pytest.raises(InputError, match="no journal of erasures, or is cut off"):
        restore(empty_url, small, "--erasures", journal)
    assert is_untouched(empty_url)
