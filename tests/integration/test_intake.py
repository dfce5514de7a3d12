"""The Stream's reader on a real Redis, with the inbox in memory."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest
import redis

from config.policy import IntakePolicy
from pipelines.errors import StoreRefused, StoreUnavailable
from pipelines.flows.ingest import Ingest
from pipelines.model import Owner
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import RecordingWaker
from tests.acceptance.deployment import wait_until
from workers.clock import SystemClock
from workers.intake import GROUP, StreamIntake

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from pipelines.model import Transcript
    from pipelines.ports import Accepted


class World:
    def __init__(self, client: redis.Redis, prefix: str, stores: InMemoryStores) -> None:
        self.redis, self.key, self.stores = client, f"{prefix}:transcripts", stores
        self.clock = SystemClock()
        self.intake = StreamIntake(
            client,
            Ingest(stores, RecordingWaker(), self.clock),
            self.clock,
            IntakePolicy(),
            key_prefix=prefix,
            default_tenant="default",
        )
        self.intake.prepare()

    def push(self, said: str, entry: str = "*", **changes: Any) -> None:  # noqa: ANN401
        body = {
            "schema_version": 1,
            "user_id": "alice",
            "session_id": said[:20],
            "messages": [{"role": "user", "content": said}],
            **changes,
        }
        self.redis.xadd(self.key, {"transcript": json.dumps(body)}, id=entry)

    def said(self) -> list[str]:
        now = self.clock.now()
        due = self.stores.find_due(now, 1000).transcripts
        claims = [self.stores.claim_transcript(key, now, IntakePolicy().claim_idle) for key in due]
        return sorted(claim.transcript.messages[0].content for claim in claims if claim)


def pending_entry(world: World) -> bytes:
    (pending,) = world.redis.xpending_range(world.key, GROUP, "-", "+", 1)
    entry = pending["message_id"]
    assert isinstance(entry, bytes)
    return entry


@pytest.fixture
def client(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url) as opened:
        yield opened


def test_intake_empties_the_stream_into_the_inbox(client: redis.Redis, key_prefix: str) -> None:
    """What was committed is acknowledged and deleted; what was not is not."""
    world = World(client, key_prefix, InMemoryStores())
    world.push("one")
    world.push("two")

    assert 2 == world.intake.read_once()

    assert ["one", "two"] == world.said()
    assert 0 == client.xlen(world.key)
    assert 0 == client.xpending(world.key, GROUP)["pending"]


@pytest.mark.parametrize("entry", ["1-1", "99999999999999999-1"])
def test_intake_is_not_misled_by_an_id_that_is_no_time(
    client: redis.Redis, key_prefix: str, entry: str
) -> None:
    """An id that somebody made up dates nothing; dated sessions after it still pass."""
    world = World(client, key_prefix, InMemoryStores())
    world.push("made up", entry)
    world.push("after", "*", started_at="2026-03-02T09:00:00Z")

    world.intake.read_once()

    assert ["after", "made up"] == world.said()


def test_intake_commits_large_transcripts_in_portions(client: redis.Redis, key_prefix: str) -> None:
    """Entries of several megabytes are committed a few at a time, all of them once."""
    batches: list[int] = []

    class Counting(InMemoryStores):
        def accept(self, transcripts: Sequence[Transcript], now: datetime) -> list[Accepted]:
            batches.append(len(transcripts))
            return super().accept(transcripts, now)

    world = World(client, key_prefix, Counting())
    for number in range(3):
        world.push(f"{number} " + "word " * 900_000)

    assert 3 == world.intake.read_once()

    assert [1, 1, 1] == batches
    assert 0 == client.xlen(world.key)


def test_intake_files_what_cannot_be_stored_and_goes_on(
    client: redis.Redis, key_prefix: str
) -> None:
    """One entry that the database rejects costs the others of its batch nothing."""

    class Picky(InMemoryStores):
        def accept(self, transcripts: Sequence[Transcript], now: datetime) -> list[Accepted]:
            if any(item.messages[0].content == "poison" for item in transcripts):
                raise StoreRefused("PostgreSQL: DataError")
            return super().accept(transcripts, now)

    world = World(client, key_prefix, Picky())
    for said in ("one", "poison", "two"):
        world.push(said)

    world.intake.read_once()

    assert ["one", "two"] == world.said()
    assert 0 == client.xlen(world.key)


@pytest.mark.parametrize("name", ["x" * 100_000, "", "a\nb", 7])
def test_intake_files_a_refused_push_under_nobody_when_no_owner_can_be_called_so(
    client: redis.Redis, key_prefix: str, name: object
) -> None:
    """A name that no row can have is not taken over from a payload that is refused."""
    world = World(client, key_prefix, InMemoryStores())
    world.push("unreadable", tenant_id="acme", user_id=name)

    world.intake.read_once()

    (receipt,) = world.stores._transcripts
    assert Owner("default", "") == world.stores.find_owner(receipt)
    assert 0 == client.xlen(world.key)


def test_intake_keeps_what_it_read_while_the_database_is_away(
    client: redis.Redis, key_prefix: str
) -> None:
    """Nothing is acknowledged before it is committed; it is committed when that is possible."""

    class Away(InMemoryStores):
        is_away = True

        def accept(self, transcripts: Sequence[Transcript], now: datetime) -> list[Accepted]:
            if self.is_away:
                raise StoreUnavailable("no answer")
            return super().accept(transcripts, now)

    stores = Away()
    world = World(client, key_prefix, stores)
    stop = threading.Event()
    thread = threading.Thread(target=world.intake.run, args=(stop,), daemon=True)
    thread.start()
    world.push("one")
    wait_until(lambda: client.xpending(world.key, GROUP)["pending"] == 1, "it has been read")

    stores.is_away = False
    wait_until(lambda: client.xlen(world.key) == 0, "it is committed and deleted")
    stop.set()
    thread.join(10)

    assert ["one"] == world.said()


def test_intake_takes_over_what_a_dead_consumer_had_read(
    client: redis.Redis, key_prefix: str
) -> None:
    """An entry that nobody finished is read by another once it has idled long enough."""
    world = World(client, key_prefix, InMemoryStores())
    world.push("one")
    client.xreadgroup(GROUP, "dead", {world.key: ">"})
    idle_ms = int(IntakePolicy().claim_idle.total_seconds() * 1000)
    entry = pending_entry(world)
    client.xclaim(world.key, GROUP, "dead", 0, [entry], idle=idle_ms)

    assert 1 == world.intake.read_once()
    assert ["one"] == world.said()


def test_intake_drops_an_entry_that_was_deleted_while_it_was_pending(
    client: redis.Redis, key_prefix: str
) -> None:
    """A trimmed entry is no dead letter and holds nothing up."""
    world = World(client, key_prefix, InMemoryStores())
    world.push("gone")
    client.xreadgroup(GROUP, "dead", {world.key: ">"})
    entry = pending_entry(world)
    client.xclaim(world.key, GROUP, "dead", 0, [entry], idle=10**7)
    client.xdel(world.key, entry)
    world.push("here")

    world.intake.read_once()
    world.intake.read_once()

    assert ["here"] == world.said()
    assert 1 == len(world.stores._transcripts)
