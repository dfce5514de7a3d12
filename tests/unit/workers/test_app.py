"""The Celery application."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from config.settings import Settings
from workers.app import make_app
from workers.broker import broker_url
from workers.queues import BACKFILL, DISTILL, QUEUES, RUN_JOB, BackfillLast


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis:6379/3", "redis://redis:6379/3"),
        ("rediss://user:pw@redis/0", "rediss://user:pw@redis/0"),
        ("unix:///run/redis.sock?db=2", "redis+socket:///run/redis.sock?virtual_host=2"),
        ("unix:///run/redis.sock", "redis+socket:///run/redis.sock?virtual_host=0"),
    ],
)
def test_broker_url_is_spelled_as_kombu_wants_it(url: str, expected: str) -> None:
    """One setting names the same Redis for the Stream and for the broker."""
    assert expected == broker_url(url)


def test_app_puts_no_truth_into_the_broker() -> None:
    """No results, late acknowledgement, JSON only, and remote control left on."""
    conf = make_app(Settings()).conf

    assert conf.task_ignore_result
    assert None is conf.result_backend
    assert conf.task_acks_late
    assert conf.worker_enable_remote_control
    assert ["json"] == conf.accept_content


def test_app_has_one_queue_for_each_kind_of_work() -> None:
    """A deployment can scale distilling without scaling the rest."""
    app = make_app(Settings())

    assert {*QUEUES.values(), BACKFILL} == {queue.name for queue in app.conf.task_queues}
    for task, queue in QUEUES.items():
        assert {"queue": queue} == app.conf.task_routes[task]


def test_queues_take_turns_and_backfill_is_always_last() -> None:
    """Whoever was served goes behind the others, but never behind backfill."""
    cycle = BackfillLast()
    cycle.update([BACKFILL, QUEUES[DISTILL], QUEUES[RUN_JOB]])
    first = cycle.consume(3)

    cycle.rotate(QUEUES[DISTILL])
    cycle.rotate(BACKFILL)

    assert [QUEUES[DISTILL], QUEUES[RUN_JOB], BACKFILL] == first
    assert [QUEUES[RUN_JOB], QUEUES[DISTILL], BACKFILL] == cycle.consume(3)
    options = make_app(Settings()).conf.broker_transport_options
    assert f"{BackfillLast.__module__}:BackfillLast" == options["queue_order_strategy"]


def test_app_on_rabbitmq_keeps_wakeups_in_quorum_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """One address moves the broker; over TLS the certificate must be the host's."""
    monkeypatch.setenv("MEMSTILL_BROKER_URL", "amqps://user:pw@rabbit.example/memstill")

    conf = make_app(Settings()).conf

    assert "amqps://user:pw@rabbit.example/memstill" == conf.broker_url
    assert "rabbit.example" == conf.broker_use_ssl["server_hostname"]
    assert {*QUEUES.values(), BACKFILL} == {queue.name for queue in conf.task_queues}
    assert [{"x-queue-type": "quorum"}] * 6 == [it.queue_arguments for it in conf.task_queues]


def test_address_of_another_broker_is_refused_without_showing_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may hold a password."""
    monkeypatch.setenv("MEMSTILL_BROKER_URL", "kafka://user:secret@host")

    with pytest.raises(ValidationError, match="must begin with amqp:// or amqps://") as refused:
        Settings()

    assert "secret" not in str(refused.value)
