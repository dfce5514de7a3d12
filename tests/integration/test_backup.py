"""Backups: one moment while all goes on, whole again elsewhere, and nobody erased comes back."""

from __future__ import annotations

import stat
import threading
from contextlib import contextmanager
from datetime import timedelta
from typing import IO, TYPE_CHECKING
from uuid import UUID, uuid4

import psycopg
import pytest

from memstill_client import Memstill
from pipelines.adapters.postgres.dump_tools import DumpTools, Source, Tool
from pipelines.errors import LeaseLost
from pipelines.model import MemoryId, Owner, ReceiptId
from tests.acceptance.deployment import wait_until
from tests.integration.backups import (
    Rows,
    back_up,
    differences_of,
    fences_of,
    restore,
    rows_of,
    run,
    words_in,
)
from tests.integration.generations import open_world
from workers.embedded.resting import resting_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from memstill_client import Erasure
    from pipelines.ports import TranscriptClaim
    from tests.integration.generations import World

CANARY = "xylophone-quagga"
USERS = ("alice", "bob", "carol")
BOB = Owner("acme", "bob")
LONG = timedelta(hours=1)


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
