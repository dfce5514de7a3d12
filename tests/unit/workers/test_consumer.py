"""A worker whose broker goes away connects again, whatever the lost connection says."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from kombu.connection import Connection

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


def test_workers_are_made_with_it() -> None:
    """By the name that Celery is told."""
    assert make_app(Settings()).conf.worker_consumer == "workers.consumer:PatientConsumer"
