"""Backups: one moment while all goes on, whole again elsewhere, and nobody erased comes back."""

from __future__ import annotations

import json
import stat
import threading
import zipfile
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import IO, TYPE_CHECKING, Any
from uuid import UUID, uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from psycopg import sql
from structlog.testing import capture_logs
from typer.testing import CliRunner

from config.settings import Settings
from memstill_client import Memstill
from pipelines.adapters.postgres import Database
from pipelines.adapters.postgres.dump_tools import DumpTools, Source, Tool
from pipelines.adapters.postgres.migrate import migrate
from pipelines.adapters.postgres.tables import metadata
from pipelines.errors import ConfigurationError, InputError, LeaseLost
from pipelines.model import MemoryId, Owner, ReceiptId
from tests.acceptance.deployment import wait_until
from tests.conftest import copied_database
from tests.integration.generations import open_world
from workers import cli
from workers.app import make_app
from workers.container import open_container
from workers.embedded.resting import resting_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from memstill_client import Erasure
    from pipelines.ports import TranscriptClaim
    from tests.integration.generations import World
    from workers.embedded.postgres import PostgresServer

CANARY = "xylophone-quagga"
USERS = ("alice", "bob", "carol")
BOB = Owner("acme", "bob")
LONG = timedelta(hours=1)
# What a restore changes on purpose: leases end, fences move on, upkeep begins anew.
MOVED = {
    "transcripts": {"fence", "lease_until", "state", "attempts", "turn_at"},
    "owners": {"fence", "lease_until", "attempts"},
    "outbox": {"fence", "lease_until", "attempts"},
    "batches": {"fence", "lease_until"},
    "erasures": {"fence", "lease_until"},
}

Rows = dict[str, list[str]]


def run(*words: object, env: dict[str, str] | None = None) -> str:
    """A command that has to succeed; gives what it printed for machines."""
    with capture_logs():
        done = CliRunner().invoke(cli.app, [str(word) for word in words], env=env)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert 0 == done.exit_code, done.output
    return done.stdout


def back_up(url: str, file: Path, **env: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run("backup", file, "--json", env={"MEMSTILL_DATABASE_URL": url} | env)
    )
    return found


def restore(url: str, file: Path, *words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run("restore", file, *words, "--json", env={"MEMSTILL_DATABASE_URL": url})
    )
    return found


def rows_of(connection: psycopg.Connection) -> Rows:
    """Every row of every table, as JSON, without what a restore changes."""
    found = {}
    for table in metadata.sorted_tables:
        moved = sorted(MOVED.get(table.name, ()))
        statement = sql.SQL("SELECT CAST(to_jsonb(t) - %s::text[] AS text) FROM {} AS t")
        rows = connection.execute(statement.format(sql.Identifier(table.name)), [moved])
        found[table.name] = sorted(row[0] for row in rows)
    found["installation"] = [row for row in found["installation"] if '"embedding"' in row]
    return found


def fences_of(connection: psycopg.Connection) -> list[Any]:
    """Policies, and what the tenants' role may do."""
    policies = connection.execute(
        "SELECT tablename, policyname, roles, cmd, qual, with_check FROM pg_policies ORDER BY 1, 2"
    ).fetchall()
    grants = connection.execute(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee = 'memstill_tenant' ORDER BY 1, 2"
    ).fetchall()
    return [policies, grants]


def differences_of(url: str) -> list[Any]:
    """Where a schema is not the code's."""
    database = Database(url, pool_size=1)
    with database.transaction() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        found: list[Any] = compare_metadata(context, metadata)
    database.close()
    return found


class Watch:
    """Reads what the backup's own snapshot shows, once somebody has written after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: Rows = {}
        self.written = 0
        dump = DumpTools.dump

        @contextmanager
        def watched(tools: DumpTools, source: Source, tool: Tool) -> Iterator[IO[bytes]]:
            before = self.written
            wait_until(lambda: self.written > before + 1, "somebody goes on writing")
            with psycopg.connect(source.url) as connection:
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
                connection.execute(f"SET TRANSACTION SNAPSHOT '{source.snapshot}'".encode())
                connection.execute("SET LOCAL timezone = 'UTC'")
                self.rows = rows_of(connection)
            with dump(tools, source, tool) as opened:
                yield opened

        monkeypatch.setattr(DumpTools, "dump", watched)


@contextmanager
def writing(world: World, watch: Watch) -> Iterator[None]:
    """Somebody pushes, and workers work, as long as the block takes."""
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            number = watch.written % 28 + 1
            world.push(f"Number {watch.written} is told.", user=f"w{number % 3}", day=number)
            world.work()
            watch.written += 1
            stop.wait(0.2)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


@pytest.fixture
def empty_url(postgres_server: PostgresServer) -> Iterator[str]:
    with copied_database(postgres_server, "template1") as url:
        yield url


def words_in(url: str, word: str) -> set[str]:
    """The tables in which a word stands."""
    with psycopg.connect(url) as connection:
        return {name for name, rows in rows_of(connection).items() if word in "\n".join(rows)}


def fill(world: World) -> None:
    """Tenants, users, values that changed, sessions of the same, an erasure, a dead letter."""
    for number, user in enumerate(USERS):
        world.push("My home is Berlin.", f"{user} likes tea\\no\\\\.", user=user, day=1)
        world.push("My home is Lisbon.", f"Ünïcode \t {CANARY}.", user=user, day=2 + number)
        world.push("My home is Lisbon.", "I like tea.", user=user, day=9)
    world.push("Soon forgotten.", user="gone", day=1)
    url = f"http://127.0.0.1:{world.container.settings.api_port}"
    with Memstill(api_url=url, redis_url="", tenant_id="umbrella", timeout=30.0) as other:
        other.enqueue(
            user_id="alice",
            session_id="s1",
            messages=[{"role": "user", "content": "My home is Oslo."}],
        )
    world.work()
    world.client.erase("gone")
    world.container.ingest.refuse(Owner("acme", "bob"), "{", "no JSON")


def hold(world: World) -> TranscriptClaim:
    """Workers that are at work: on a transcript, on a user, on a point."""
    receipt = ReceiptId(UUID(world.push("I am held.", user="held", day=1)))
    container, now = world.container, world.container.sweep.clock.now()
    claim = container.inbox.claim_transcript(receipt, now, LONG)
    container.store.mark_owner_due(BOB, now)
    assert container.store.claim_owner(BOB, now, LONG)
    container.upkeep.reconcile.truth.enqueue({MemoryId(uuid4()): BOB}, now)
    assert container.project.outbox.take(9, now, LONG).tickets
    assert claim is not None
    return claim


def hold_again(world: World, held: TranscriptClaim) -> TranscriptClaim:
    """Another lease of the same, which a backup from before does not know of."""
    inbox, now = world.container.inbox, world.container.sweep.clock.now()
    inbox.postpone(held, now, "away")
    claim = inbox.claim_transcript(held.transcript.id, now, LONG)
    assert claim is not None
    return claim


def erase(world: World) -> list[Erasure]:
    """A user with the proof, and a session that others said the same as."""
    found = [world.client.erase("carol"), world.client.erase("alice", "s2")]
    world.work()
    prove(world)
    return [world.client.erasure(item.id) for item in found]


def prove(world: World) -> None:
    world.query("UPDATE erasures SET due_at = requested_at WHERE due_at IS NOT NULL RETURNING 1")
    world.container.erase.run()


def test_backup_under_writing_is_one_moment_and_comes_back_without_whom_was_erased(
    world: World,
    empty_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Row for row what its snapshot shows; elsewhere work goes on, and who is gone stays gone."""
    fill(world)
    settings = world.container.settings
    source, redis_url = (
        url.get_secret_value() for url in (settings.database_url, settings.redis_url)
    )
    env = {"MEMSTILL_DATABASE_URL": source, "MEMSTILL_REDIS_URL": redis_url}
    run("keys", "create", "bot", "--tenant", "acme", env=env)
    held = hold(world)
    file, journal, elsewhere = (tmp_path / name for name in ("b.mem", "journal", "elsewhere"))
    watch = Watch(monkeypatch)

    with writing(world, watch):
        rows = back_up(source, file, **env)["rows"]
    ((events,),) = world.query("SELECT count(*) FROM events")
    assert events > rows["events"] > 0
    assert {name: len(found) for name, found in watch.rows.items()} | {"alembic_version": 1} == (
        rows | {"installation": 1}
    )
    assert 0o600 == stat.S_IMODE(file.stat().st_mode)

    restore(empty_url, file, "--no-erasures")
    with psycopg.connect(source) as here, psycopg.connect(empty_url) as there:
        there.execute("SET timezone = 'UTC'")
        assert watch.rows == rows_of(there)
        assert fences_of(here) == fences_of(there)
    assert [] == differences_of(empty_url)
    assert words_in(empty_url, CANARY)

    late = hold_again(world, held)
    proven = erase(world)
    run("erasures", "export", journal, env=env)
    assert not any(f'"{name}"' in journal.read_text() for name in (*USERS, "s2"))
    nowhere = {"MEMSTILL_DATABASE_URL": ""}
    run("restore", file, "--erasures", journal, "--data", elsewhere, env=nowhere)
    with (
        resting_database(elsewhere) as url,
        open_world(url, redis_url, f"{settings.key_prefix}-b", tmp_path) as restored,
    ):
        check_work_goes_on(restored, late)
        prove(restored)
        told = {user: world.told(user) for user in USERS}
        assert (told, []) == ({user: restored.told(user) for user in USERS}, told["carol"])
        check_erased(restored, proven)
        assert {"transcripts", "facts", "memories"} <= words_in(url, "bob likes tea")


def check_work_goes_on(world: World, late: TranscriptClaim) -> None:
    """Nobody who was at work before writes, and what they were at is done by others."""
    ((last,),) = world.query("SELECT max(seq) FROM events")
    inbox, now = world.container.inbox, world.container.sweep.clock.now()
    claim = inbox.claim_transcript(late.transcript.id, now, LONG)
    assert claim is not None
    with pytest.raises(LeaseLost):
        inbox.commit_distilled(late, [], [], now)
    inbox.postpone(claim, now, "away", is_counted=False)
    world.container.erase.run()
    world.work()
    status = world.client.status(str(late.transcript.id))
    assert ("done", 1) == (status.state, status.attempts)
    for table in ("outbox", "owners WHERE lease_until IS NOT NULL"):
        assert [(0,)] == world.query(f"SELECT count(*) FROM {table}")
    ((newest,),) = world.query("SELECT max(seq) FROM events")
    assert newest > last
    clock = world.container.upkeep.policy.asked_turn
    assert {} == world.container.upkeep.reconcile.run(None, clock, repairs=False).found


def check_erased(world: World, proven: list[Erasure]) -> None:
    """The proofs are as they were, and what came back is proven gone by others."""
    assert proven == [world.client.erasure(item.id) for item in proven]
    everything = world.client.erasures()
    assert {"verified"} == {item.state for item in everything}
    assert 2 == sum(item.requested_by == "restore" for item in everything)
    assert [] == world.query("SELECT 1 FROM transcripts WHERE user_id = 'carol'")
    assert [] == world.query(
        "SELECT 1 FROM transcripts WHERE user_id = 'alice' AND session_id = 's2'"
    )


@pytest.fixture
def small(database_url: str, tmp_path: Path) -> Path:
    """A backup with some rows."""
    with psycopg.connect(database_url) as connection:
        for number in range(50):
            connection.execute(
                "INSERT INTO owners (tenant_id, user_id) VALUES ('acme', %s)", [f"user {number}"]
            )
    back_up(database_url, tmp_path / "small.memstill")
    return tmp_path / "small.memstill"


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
            " AND application_name = 'memstill'"
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
    from alembic import command
    from alembic.config import Config

    with copied_database(postgres_server, "template1") as old:
        config = Config()
        config.set_main_option("script_location", "pipelines/adapters/postgres/migrations")
        database = Database(old, pool_size=1)
        with database.transaction() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0011")
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
