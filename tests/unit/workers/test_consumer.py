"""A worker whose broker goes away connects again, whatever the lost connection says."""

from __future__ import annotations

from logging import getLogger
from types import MethodType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from kombu.connection import Connection
from structlog.testing import capture_logs

from config.settings import Settings
from workers.app import make_app
from workers.consumer import PatientConsumer

if TYPE_CHECKING:
    from collections.abc import Callable

LOST = ConnectionError("gone")


class HalfClosed(Connection):
    """As kombu finds it when it puts back what was not acknowledged, too late."""

    def close(self) -> None:
        raise AttributeError("'NoneType' object has no attribute 'hostname'")


def consumer_with(make_connection: Callable[[str], object]) -> PatientConsumer:
    """A consumer that does nothing else."""
    made = PatientConsumer.__new__(PatientConsumer)
    made.app = SimpleNamespace(conf=make_app(Settings()).conf)
    made.connection = make_connection("memory://")
    return made


def test_worker_goes_on_when_giving_up_the_lost_connection_fails() -> None:
    """The connection is forgotten, and the next one can be made."""
    consumer = consumer_with(HalfClosed)
    consumer.on_connection_error_after_connected(LOST)
    assert consumer.connection is None


def test_worker_ends_when_something_else_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect before the connection is given up is none of ours to hide."""
    monkeypatch.setattr(
        "celery.worker.consumer.consumer.bound_open_broker_sockets",
        lambda *_: (_ for _ in ()).throw(AttributeError("defect")),
    )
    with pytest.raises(AttributeError, match="defect"):
        consumer_with(Connection).on_connection_error_after_connected(LOST)


@pytest.mark.parametrize("answer", ["ack_log_error", "reject_log_error"])
def test_worker_goes_on_when_a_message_of_a_lost_connection_is_answered(
    redis_url: str, key_prefix: str, answer: str
) -> None:
    """The task had outlasted the connection; its message comes once more."""
    consumer = consumer_with(Connection)
    consumer.hub = SimpleNamespace(call_soon=lambda call: call())
    app = make_app(Settings.model_validate({"redis_url": redis_url}))
    with app.connection_for_write() as sender:
        sender.SimpleQueue(key_prefix).put("wake up")
    lost = app.connection_for_write()
    message = lost.SimpleQueue(key_prefix).get(timeout=10)
    lost.close()
    # As kombu does where it meets an error on the way.
    message.channel._disconnect_pools()

    with capture_logs() as logs:
        consumer.call_soon_ack(getattr(message, answer), getLogger(), (OSError,))

    assert ["acknowledgement_lost"] == [entry["event"] for entry in logs]


def test_defect_in_answering_a_message_is_not_hidden() -> None:
    """Where the connection is open it is none of the broker's."""
    consumer = consumer_with(Connection)
    consumer.hub = SimpleNamespace(call_soon=lambda call: call())
    connection: Any = Connection("memory://")  # type: ignore[no-untyped-call] # kombu has no types

    def defect(_: object) -> None:
        raise AttributeError("defect")

    message = SimpleNamespace(channel=connection.default_channel)
    with pytest.raises(AttributeError, match="defect"):
        consumer.call_soon_ack(MethodType(defect, message))


def test_workers_are_made_with_it() -> None:
    """By the name that Celery is told."""
    assert make_app(Settings()).conf.worker_consumer == "workers.consumer:PatientConsumer"
