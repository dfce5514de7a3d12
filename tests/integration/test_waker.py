"""Wake-ups on a real broker."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from config.settings import Settings
from pipelines.model import Lane, Owner, receipt_id
from pipelines.ports import Waiting
from pipelines.testing.surroundings import RecordingWaker
from tests.acceptance.deployment import wait_until
from workers.app import make_app
from workers.queues import CONSOLIDATE, DISTILL, QUEUES, is_served_by
from workers.waker import BackgroundWaker, CeleryWaker, GatheringWaker, KeepingWaker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.model import ReceiptId


def waker_on(url: str, key_prefix: str) -> CeleryWaker:
    return CeleryWaker(make_app(Settings(redis_url=url, key_prefix=key_prefix)))


def test_waker_counts_what_no_worker_has_taken(redis_url: str, key_prefix: str) -> None:
    """An empty broker has nothing waiting; each wake-up is one message."""
    waker = waker_on(redis_url, key_prefix)
    owner = Owner("acme", "alice")

    before = waker.count_waiting()
    waker.wake_distill([receipt_id(owner, "a"), receipt_id(owner, "b")])
    waker.wake_consolidate([owner])
    waker.wake_index()

    assert Waiting() == before
    assert Waiting(distill=2, consolidate=1, index=1) == waker.count_waiting()


@pytest.mark.parametrize("url", ["unix:///nowhere/redis.sock?db=0", "redis://127.0.0.1:9/0"])
def test_waker_goes_on_when_the_broker_is_away(url: str, key_prefix: str) -> None:
    """A lost wake-up is no error: the sweep makes it good."""
    waker = waker_on(url, key_prefix)

    waker.wake_index()

    assert Waiting() == waker.count_waiting()


def test_waker_sends_a_scan_on_its_way_to_where_jobs_are_run(
    redis_url: str, key_prefix: str
) -> None:
    """The rest of a scan is one message that says behind which tenant to go on."""
    app = make_app(Settings(redis_url=redis_url, key_prefix=key_prefix))

    CeleryWaker(app).wake_share("acme")

    with app.connection_for_read() as connection:
        message = connection.default_channel.basic_get("jobs")
    assert ("memstill.share", "('acme',)") == (
        message.headers["task"],
        message.headers["argsrepr"],
    )


class HangingWaker(RecordingWaker):
    """A broker that took the connection and says nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    def wake_distill(self, receipts: Sequence[ReceiptId], lane: Lane = Lane.INTERACTIVE) -> None:
        self.gate.wait(30)
        super().wake_distill(receipts, lane)


def test_nobody_waits_for_a_broker_that_hangs() -> None:
    """Wake-ups go out when it is back; what is too much is lost, as the sweep can bear it."""
    hanging = HangingWaker()
    waker = BackgroundWaker(hanging, limit=3)
    keys = [receipt_id(Owner("acme", "alice"), str(number)) for number in range(9)]
    started = time.monotonic()

    with capture_logs() as logs:
        for key in keys:
            waker.wake_distill([key])

    assert 0.5 > time.monotonic() - started
    assert {"wakeup_lost"} == {entry["event"] for entry in logs}
    hanging.gate.set()
    waker.close()
    assert keys[0] == hanging.receipts[0]
    assert 3 <= len(hanging.receipts) <= 4
    assert len(keys) == len(hanging.receipts) + len(logs)


def test_index_is_woken_once_for_all_who_want_it_within_a_moment() -> None:
    """Whoever wants it after that wakes it again, and nobody is forgotten at the end."""
    heard = RecordingWaker()
    waker = GatheringWaker(heard, seconds=0.05)

    for _ in range(100):
        waker.wake_index()
    wait_until(lambda: heard.index_wakes > 0, "the index is woken")
    assert 1 == heard.index_wakes

    waker.wake_index()
    wait_until(lambda: heard.index_wakes > 1, "the index is woken again")
    patient = GatheringWaker(heard, seconds=60)
    patient.wake_index()
    patient.close()
    waker.close()
    assert 3 == heard.index_wakes


def test_index_is_projected_here_where_a_wake_up_would_come_back() -> None:
    """No message is sent; at the end there is none here any more who could do it."""
    heard, projected = RecordingWaker(), list[int]()
    waker = GatheringWaker(heard, seconds=0.01)
    waker.project = lambda: projected.append(1)

    for _ in range(20):
        waker.wake_index()
    wait_until(lambda: bool(projected), "the index is projected")
    assert 0 == heard.index_wakes

    patient = GatheringWaker(heard, seconds=60)
    patient.project = lambda: projected.append(2)
    patient.wake_index()
    patient.close()
    waker.close()
    assert 1 == heard.index_wakes
    assert 2 not in projected


def test_gathering_waker_passes_on_all_other_wake_ups() -> None:
    """They are about somebody, and are not the same."""
    heard = RecordingWaker()
    waker = GatheringWaker(heard)

    waker.wake_consolidate([Owner("acme", "alice"), Owner("acme", "bob")])
    waker.wake_consolidate([Owner("acme", "alice")])

    assert [Owner("acme", name) for name in ("alice", "bob", "alice")] == heard.owners


def test_whoever_keeps_a_consolidation_sends_none() -> None:
    """Each user once, for the thread that asked; others, and all before and after, send."""
    heard, kept = RecordingWaker(), list[Owner]()
    waker = KeepingWaker(heard, lambda: True)
    alice, bob, eve = (Owner("acme", name) for name in ("alice", "bob", "eve"))

    waker.wake_consolidate([eve])
    with waker.keep(kept):
        waker.wake_consolidate([alice, bob])
        waker.wake_consolidate([alice])
        waker.wake_index()
        other = threading.Thread(target=waker.wake_consolidate, args=([eve],))
        other.start()
        other.join()
    waker.wake_consolidate([eve])

    assert [alice, bob] == kept
    assert [eve] * 3 == heard.owners
    assert 1 == heard.index_wakes


def test_a_worker_that_does_not_consolidate_keeps_nothing(redis_url: str, key_prefix: str) -> None:
    """Where the kinds of work are scaled apart, another worker is woken."""
    app = make_app(Settings(redis_url=redis_url, key_prefix=key_prefix))
    heard, kept = RecordingWaker(), list[Owner]()
    waker = KeepingWaker(heard, lambda: is_served_by(app, CONSOLIDATE))

    with waker.keep(kept):
        waker.wake_consolidate([Owner("acme", "alice")])
    app.amqp.queues.select([QUEUES[DISTILL]])
    with waker.keep(kept):
        waker.wake_consolidate([Owner("acme", "bob")])

    assert [Owner("acme", "alice")] == kept
    assert [Owner("acme", "bob")] == heard.owners


def test_a_channel_makes_one_client_for_all_messages(redis_url: str, key_prefix: str) -> None:
    """Until its connections are given up; what waits for messages has connections of its own."""
    app = make_app(Settings(redis_url=redis_url, key_prefix=key_prefix))
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        with channel.conn_or_acquire() as first, channel.conn_or_acquire() as second:
            assert first is second
        assert channel.client is not channel.subclient
        assert first not in (channel.client, channel.subclient)
        channel._disconnect_pools()
        with channel.conn_or_acquire() as fresh:
            assert fresh is not first
            assert fresh.ping()
