"""The intake queue's reader on RabbitMQ: consume → validate → inbox → acknowledge.

A message is acknowledged only when its transcript is committed. What a consumer holds that dies,
or loses its connection, the broker hands to another.
"""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from kombu.entity import Queue
from kombu.messaging import Consumer

from memstill_client.queue_format import PUSHED_AT_HEADER, QUEUE_ARGUMENTS, intake_queue
from memstill_client.wire import LANE_FIELD, TRACE_FIELD
from pipelines.adapters.intake_queue import open_rabbitmq
from pipelines.errors import DependencyUnavailable
from workers.broker import BROKER_ERRORS
from workers.intake_entries import Entry, Taking, believe
from workers.opening import delay_seconds
from workers.tracing import read_traceparent

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from kombu.message import Message

    from pipelines.ports import Clock

log = structlog.get_logger(__name__)

WAIT_SECONDS = 1.0
# Whatever has arrived already is committed together; nothing is waited for.
GATHER_SECONDS = 0.01
PORTION_BYTES = 8 * 1024 * 1024
HEARTBEAT_SECONDS = 30
ANSWER_SECONDS = 15.0


class QueueIntake:
    """Consumes until it is told to stop; one of many consumers of the queue.

    Args:
        batch: Messages committed together, and held unacknowledged at once.
        note_turn: Is told that it gets on.
    """

    def __init__(
        self,
        url: str,
        key_prefix: str,
        taking: Taking,
        clock: Clock,
        *,
        batch: int,
        note_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._url = url
        self._queue = Queue(
            intake_queue(key_prefix), durable=True, queue_arguments=dict(QUEUE_ARGUMENTS)
        )
        self._taking = taking
        self._clock = clock
        self._batch = batch
        self._note_turn = note_turn

    def run(self, stop: threading.Event) -> None:
        """Consume until ``stop`` is set; a server that is away is waited for."""
        failures = 0
        while not stop.is_set():
            self._note_turn()
            try:
                with self._connect() as connection:
                    failures = self._consume(connection, stop, failures)
            except (*BROKER_ERRORS, DependencyUnavailable) as error:
                # With the connection all goes back that was not acknowledged.
                failures += 1
                seconds = delay_seconds(failures)
                log.warning(
                    "intake_waiting",
                    error=type(error).__name__,
                    attempt=failures,
                    retry_in_seconds=round(seconds, 1),
                )
                stop.wait(seconds)

    def read_once(self, seconds: float = WAIT_SECONDS) -> int:
        """Commit what is there, or arrives within that time; returns how many."""
        with self._connect() as connection:
            held: list[Message] = []
            with self._consumer(connection, held):
                return self._take_next(connection, held, seconds)

    def _connect(self) -> Any:  # noqa: ANN401 - kombu has no types
        return open_rabbitmq(self._url, ANSWER_SECONDS, heartbeat=HEARTBEAT_SECONDS)

    def _consumer(self, connection: Any, held: list[Message]) -> Any:  # noqa: ANN401
        return Consumer(
            connection.channel(),
            [self._queue],
            on_message=held.append,
            prefetch_count=self._batch,
            auto_declare=True,
        )

    def _consume(self, connection: Any, stop: threading.Event, failures: int) -> int:  # noqa: ANN401
        held: list[Message] = []
        with self._consumer(connection, held):
            while not stop.is_set():
                if self._take_next(connection, held, WAIT_SECONDS):
                    failures = 0
        return failures

    def _take_next(self, connection: Any, held: list[Message], seconds: float) -> int:  # noqa: ANN401
        self._note_turn()
        connection.heartbeat_check()
        self._gather(connection, held, seconds)
        if not held:
            return 0
        self._taking.take([self._read(message) for message in held])
        held[-1].ack(multiple=True)
        count = len(held)
        held.clear()
        return count

    def _gather(self, connection: Any, held: list[Message], seconds: float) -> None:  # noqa: ANN401
        try:
            while len(held) < self._batch and _size_of(held) < PORTION_BYTES:
                connection.drain_events(timeout=GATHER_SECONDS if held else seconds)
        except socket.timeout:  # noqa: UP041 - its own name, as the driver raises it
            pass

    def _read(self, message: Message) -> Entry:
        headers, now = message.headers or {}, self._clock.now()
        body = message.body.encode() if isinstance(message.body, str) else bytes(message.body)
        lane = headers.get(LANE_FIELD)
        milliseconds = _milliseconds(headers, message.properties or {})
        if milliseconds is None:
            # Without one it could have been pushed before its user was erased.
            problem = f"the message has no {PUSHED_AT_HEADER!r} header and no timestamp"
            return Entry(body, None, now, problem)
        named = None if lane is None else str(lane)
        trace = read_traceparent(headers.get(TRACE_FIELD))
        return Entry(body, named, believe(milliseconds, now), traceparent=trace)


def _milliseconds(headers: dict[str, Any], properties: dict[str, Any]) -> int | None:
    """When a message was pushed: by its header, or by its property of whole seconds."""
    stated = headers.get(PUSHED_AT_HEADER)
    if isinstance(stated, int):
        return stated
    seconds = properties.get("timestamp")
    if isinstance(seconds, datetime):
        return int(seconds.replace(tzinfo=UTC).timestamp() * 1000)
    return int(seconds) * 1000 if isinstance(seconds, int) else None


def _size_of(held: list[Message]) -> int:
    return sum(len(message.body) for message in held)
