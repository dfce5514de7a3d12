"""RabbitMQ in the place of Redis: wake-ups and intake over it, and nothing acknowledged is lost."""

from __future__ import annotations

import json
import signal
import time
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import amqp
import pytest
import redis

from config.policy import IntakePolicy
from memstill_client import Memstill
from memstill_client.errors import Busy, Unavailable
from memstill_client.queue_format import PUSHED_AT_HEADER, intake_queue
from memstill_client.wire import stream_key
from pipelines.adapters.intake_queue import IntakeQueue, open_rabbitmq
from pipelines.errors import QueueUnavailable
from pipelines.flows.ingest import Ingest
from pipelines.model import Owner, ReceiptId
from pipelines.ports import Subject
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import RecordingWaker
from tests.acceptance.deployment import wait_until
from tests.acceptance.test_road import session
from tests.rabbitmq import RabbitMq
from workers.clock import SystemClock
from workers.intake_entries import Taking
from workers.queue_intake import QueueIntake
from workers.queues import DISTILL, QUEUES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from memstill_client import Receipt
    from tests.acceptance.deployment import Deployment

ALICE = Subject(Owner("default", "alice"))


@pytest.fixture(scope="module")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RabbitMq]:
    with RabbitMq(tmp_path_factory.mktemp("rabbitmq")) as server:
        yield server


class World:
    """An intake of its own on the broker, without a database."""

    def __init__(self, url: str, key_prefix: str) -> None:
        self.url, self.key_prefix = url, key_prefix
        self.stores, clock = InMemoryStores(), SystemClock()
        ingest = Ingest(self.stores, RecordingWaker(), clock)
        taking = Taking(ingest, IntakePolicy(), "default")
        self.intake = QueueIntake(url, key_prefix, taking, clock, batch=50)
        self.waiting = IntakeQueue(url, key_prefix, clock, 5.0)

    def client(self, **options: Any) -> Memstill:  # noqa: ANN401
        return Memstill(broker_url=self.url, key_prefix=self.key_prefix, **options)

    def publish(self, body: bytes, headers: dict[str, object]) -> None:
        """As another language would."""
        with closing(open_rabbitmq(self.url, 5.0)) as connection:
            message = amqp.Message(body, application_headers=headers, delivery_mode=2)
            connection.channel().basic_publish(message, routing_key=intake_queue(self.key_prefix))

    def states(self, *receipts: Receipt) -> list[str]:
        ids = [ReceiptId(receipt.id) for receipt in receipts]
        return sorted(self.stores.states("default", ids))


@pytest.fixture
def world(rabbitmq: RabbitMq, key_prefix: str) -> World:
    return World(rabbitmq.url, key_prefix)


def test_push_is_confirmed_and_waits_until_the_intake_has_committed_it(world: World) -> None:
    """Both lanes, in one call or in many; a client does not need a worker to have run before."""
    with world.client() as client:
        one = client.enqueue(session("s-0", "Tea."))
        rest = client.enqueue_many([session(f"s-{n}", "Tea.") for n in range(1, 120)])
        old = client.enqueue(session("old", "Coffee."), lane="backfill")
    assert 121 == world.waiting.length()

    assert 121 == sum(world.intake.read_once() for _ in range(3))

    assert 0 == world.waiting.length()
    assert ["queued"] == world.states(one, *rest, old)
    due = world.stores.find_due(datetime.now(UTC), 1000)
    assert (120, [old.id]) == (len(due.transcripts), list(due.backfill))


def test_nothing_is_taken_in_while_too_much_waits(world: World) -> None:
    """As over the Stream: all of a call, or nothing."""
    with world.client(max_waiting=2) as client:
        client.enqueue_many([session(f"s-{n}", "Tea.") for n in range(2)])
        with pytest.raises(Busy, match="2 transcripts wait"):
            client.enqueue(session("s-2", "Tea."))
    assert 2 == world.waiting.length()


def test_message_goes_back_when_its_transcript_could_not_be_committed(world: World) -> None:
    """It is read again, whole, as soon as the store is back."""
    with world.client() as client:
        pushed = client.enqueue(session("s-1", "Tea."))

    def away(*_: object) -> None:
        raise QueueUnavailable("gone")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InMemoryStores, "accept", away)
        with pytest.raises(QueueUnavailable):
            world.intake.read_once()
    assert 1 == world.intake.read_once()
    assert ["queued"] == world.states(pushed)


def test_message_that_is_no_transcript_or_has_no_date_is_a_dead_letter(world: World) -> None:
    """It holds no other up, and is not taken for one that was pushed after an erasure."""
    now = int(time.time() * 1000)
    with world.client() as client:
        good = client.enqueue(session("s-1", "Tea."))
    world.publish(b"no JSON", {PUSHED_AT_HEADER: now})
    world.publish(json.dumps(session("s-2", "Tea.")).encode(), {})
    world.publish(json.dumps(session("s-3", "Tea.")).encode(), {PUSHED_AT_HEADER: now})

    assert 4 == world.intake.read_once()

    assert ["queued"] == world.states(good)
    due = world.stores.find_due(datetime.now(UTC), 10).transcripts
    assert 2 == len(due)
    reasons = [row.reason for row in world.stores._transcripts.values() if row.reason]
    assert 2 == len(reasons)
    assert any(PUSHED_AT_HEADER in reason for reason in reasons)


def test_erasure_waits_for_what_was_pushed_before_it(world: World) -> None:
    """Nothing can be taken out of a queue: it is not proven while something that old waits."""
    with world.client() as client:
        client.enqueue(session("s-1", "Tea."))
    mark = world.waiting.mark() + timedelta(seconds=1)
    assert 0 == world.waiting.remove(ALICE, mark)
    assert 1 == world.waiting.count(ALICE, mark)
    assert not world.waiting.has_until(mark - timedelta(days=1))

    assert 1 == world.intake.read_once()

    assert 0 == world.waiting.count(ALICE, mark)


def test_nothing_acknowledged_is_lost_when_the_broker_restarts_and_a_worker_is_killed(
    rabbitmq: RabbitMq, deployment: Deployment
) -> None:
    """Wake-ups are in quorum queues, transcripts in another, and nothing of either in Redis."""
    deployment.env["MEMSTILL_BROKER_URL"] = rabbitmq.url
    prefix = deployment.env["MEMSTILL_KEY_PREFIX"]
    with Memstill(broker_url=rabbitmq.url, key_prefix=prefix, timeout=5.0) as client:
        pushed = client.enqueue_many(
            [session(f"s-{n}", f"I have {n} cats.", user=f"user-{n}") for n in range(40)]
        )
        # Killed, release 3.10 forgets who led a queue that is a moment old, and elects no more.
        rabbitmq.stop(signal.SIGTERM)
        with pytest.raises(Unavailable, match="pushing again is safe"):
            client.enqueue(session("late", "I live in Lisbon.", user="late"))
        rabbitmq.start(intake_queue(prefix))
        late = client.enqueue(session("late", "I live in Lisbon.", user="late"))
    first = deployment.start_worker()

    def has_begun() -> bool:
        return deployment.query("SELECT count(*) > 5 FROM transcripts") == [(True,)]

    wait_until(has_begun, "the intake has read some")
    deployment.kill(first)
    deployment.start_beat()
    deployment.start_worker()
    statuses = deployment.wait_final(*pushed, late)

    assert {"done"} == {status.state.value for status in statuses}
    wait_until(lambda: bool(deployment.memories("late")), "what was pushed last is remembered")
    declared = {"queue": QUEUES[DISTILL], "durable": True, "auto_delete": False}
    with (
        closing(open_rabbitmq(rabbitmq.url, 5.0)) as connection,
        pytest.raises(amqp.PreconditionFailed, match="quorum"),
    ):
        connection.channel().queue_declare(**declared)
    with redis.Redis.from_url(deployment.env["MEMSTILL_REDIS_URL"]) as sessions:
        assert 0 == sessions.exists(stream_key(prefix))
        assert [] == list(sessions.scan_iter(f"{prefix}:celery:*"))
