"""The intake of an installation: the Stream in Redis, or the queue in RabbitMQ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pipelines.adapters.intake_stream import IntakeStream
from workers.clock import SystemClock

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from redis import Redis

    from config.settings import Settings
    from pipelines.adapters.intake_queue import IntakeQueue
    from workers.container import Container


class Intake(Protocol):
    """Reads what agents push."""

    def run(self, stop: threading.Event) -> None:
        """Read until ``stop`` is set; a server that is away is waited for."""
        ...


def open_intake(container: Container, note_turn: Callable[[], None]) -> Intake:
    """The reader of a process, on a connection of its own."""
    settings, policy = container.settings, container.policies.intake
    if settings.broker_url is None:
        from workers.intake import make_intake

        return make_intake(container, note_turn=note_turn)
    from workers.intake_entries import Taking
    from workers.queue_intake import QueueIntake

    return QueueIntake(
        settings.broker_url.get_secret_value(),
        settings.key_prefix,
        Taking(container.ingest, policy, settings.default_tenant, container.ground.tracer),
        SystemClock(),
        batch=policy.batch,
        note_turn=note_turn,
    )


def open_waiting(
    settings: Settings, open_redis: Callable[[], Redis], seconds: float
) -> IntakeStream | IntakeQueue:
    """What waits in it, for whoever erases or backs up."""
    if settings.broker_url is None:
        return IntakeStream(open_redis(), settings.key_prefix, settings.default_tenant)
    from pipelines.adapters.intake_queue import IntakeQueue

    url = settings.broker_url.get_secret_value()
    return IntakeQueue(url, settings.key_prefix, SystemClock(), seconds)
