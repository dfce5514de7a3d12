"""The intake queue in RabbitMQ: the alternative to the Stream, with confirmed pushes."""

from __future__ import annotations

import asyncio
import ssl
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote, urlsplit

from memstill_client.appending import check_taken
from memstill_client.errors import NotConfigured, Refused, Unavailable
from memstill_client.queue_format import PUSHED_AT_HEADER, QUEUE_ARGUMENTS, intake_queue
from memstill_client.streams import receipt_of
from memstill_client.tracing import current_traceparent
from memstill_client.wire import LANE_FIELD, TRACE_FIELD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memstill_client.endpoints import Endpoints
    from memstill_client.pushes import Push
    from memstill_client.replies import Receipt

TRIES: Final = 3
PAUSE_SECONDS: Final = 0.2
PORTS: Final = {"amqp": 5672, "amqps": 5671}


class Queue:
    """The intake queue of one RabbitMQ, over one connection that threads share in turn.

    Args:
        timeout: Seconds for one try of one push.

    Raises:
        NotConfigured: What speaks with RabbitMQ is not installed.
    """

    def __init__(self, url: str, endpoints: Endpoints, timeout: float) -> None:
        try:
            import amqp
        except ImportError:
            raise NotConfigured(
                "broker_url names a RabbitMQ, and what speaks with it is not installed: "
                "pip install 'memstill-client[rabbitmq]'"
            ) from None
        self._amqp = amqp
        self._options = _options_of(url) | {
            "connect_timeout": timeout,
            "read_timeout": timeout,
            "write_timeout": timeout,
        }
        self._name = intake_queue(endpoints.key_prefix)
        self._max_waiting = endpoints.max_waiting
        self._timeout = timeout
        self._lock = threading.Lock()
        self._publisher: _Publisher | None = None

    def push(self, pushes: Sequence[Push]) -> list[Receipt]:
        """Publish, and wait until the broker has confirmed each: a majority has it on disk.

        Raises:
            Busy: Too much waits; nothing was taken in.
            Unavailable: Not all were confirmed; pushing again is safe.
        """
        receipts = [receipt_of(push) for push in pushes]
        with self._lock:
            for left in reversed(range(TRIES)):
                try:
                    self._push(pushes)
                    break
                except self._amqp.ChannelError as error:
                    self._drop()
                    raise self._refused(error) from None
                except (self._amqp.ConnectionError, OSError) as error:
                    self._drop()
                    if not left:
                        raise self._unreachable(error) from None
                    time.sleep(PAUSE_SECONDS)
        return receipts

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def _push(self, pushes: Sequence[Push]) -> None:
        if self._publisher is None:
            connection = self._amqp.Connection(**self._options)
            self._publisher = _Publisher(connection, self._amqp.Message)
        waiting = self._publisher.declare(self._name)
        check_taken(-waiting if waiting >= self._max_waiting else waiting, self._max_waiting)
        for push in pushes:
            self._publisher.publish(self._name, push, self._timeout)
        self._publisher.wait(self._timeout)

    def _drop(self) -> None:
        publisher, self._publisher = self._publisher, None
        if publisher is not None:
            publisher.close()

    def _unreachable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"RabbitMQ did not answer at {self._shown()} ({type(error).__name__}); check that it "
            "runs and that MEMSTILL_BROKER_URL is right, then repeat the call: pushing again is "
            "safe"
        )

    def _refused(self, error: Exception) -> Refused:
        return Refused(
            "broker_refused",
            "broker_url",
            f"RabbitMQ refused to declare or to write the queue {self._name} "
            f"({type(error).__name__}): this user needs the rights to configure and write it, and "
            "it must not exist with other arguments",
        )

    def _shown(self) -> str:
        """The address without its password."""
        scheme = "amqps" if self._options["ssl"] else "amqp"
        return f"{scheme}://{self._options['host']}"


class AsyncQueue:
    """``Queue``, to be awaited: pushes happen in a thread."""

    def __init__(self, url: str, endpoints: Endpoints, timeout: float) -> None:
        self._queue = Queue(url, endpoints, timeout)

    async def push(self, pushes: Sequence[Push]) -> list[Receipt]:
        """See ``Queue.push``."""
        return await asyncio.to_thread(self._queue.push, pushes)

    async def close(self) -> None:
        """Close the connection."""
        await asyncio.to_thread(self._queue.close)


class _Publisher:
    """A channel that knows what the broker has not yet confirmed."""

    def __init__(self, connection: Any, make_message: Any) -> None:  # noqa: ANN401 - no types
        connection.connect()
        self._connection = connection
        self._make_message = make_message
        channel = self._channel = connection.channel()
        self._last = 0
        self._open: set[int] = set()
        self._rejected = False
        channel.events["basic_ack"].add(self._confirm)
        channel.events["basic_nack"].add(self._reject)
        channel.confirm_select()

    def declare(self, queue: str) -> int:
        """See to it that the queue is there; gives how many wait in it."""
        declared = self._channel.queue_declare(
            queue=queue, durable=True, auto_delete=False, arguments=dict(QUEUE_ARGUMENTS)
        )
        waiting: int = declared.message_count
        return waiting

    def publish(self, queue: str, push: Push, timeout: float) -> None:
        headers: dict[str, str | int] = {
            PUSHED_AT_HEADER: int(time.time() * 1000),
            LANE_FIELD: push.lane,
        }
        if (trace := current_traceparent()) is not None:
            headers[TRACE_FIELD] = trace
        message = self._make_message(
            push.body,
            content_type="application/json",
            application_headers=headers,
            delivery_mode=2,
        )
        self._last += 1
        self._open.add(self._last)
        self._channel.basic_publish(message, routing_key=queue, mandatory=True, timeout=timeout)

    def wait(self, timeout: float) -> None:
        """Wait for what is open.

        Raises:
            Unavailable: The broker took something not.
        """
        while self._open:
            self._connection.drain_events(timeout=timeout)
        if self._rejected:
            self._rejected = False
            raise Unavailable(
                "RabbitMQ rejected a push: a majority of the queue's nodes is needed, and room "
                "for it; repeat the call later: pushing again is safe"
            )

    def close(self) -> None:
        """End the connection, whatever state it is in."""
        with suppress(OSError, *self._connection.connection_errors):
            self._connection.close()

    def _confirm(self, tag: int, multiple: bool) -> None:
        self._open -= {it for it in self._open if it <= tag} if multiple else {tag}

    def _reject(self, tag: int, multiple: bool) -> None:
        self._confirm(tag, multiple)
        self._rejected = True


def _options_of(url: str) -> dict[str, Any]:
    """The parts of an address as the driver takes them."""
    parts = urlsplit(url)
    tls = {"server_hostname": parts.hostname, "cert_reqs": ssl.CERT_REQUIRED}
    return {
        "host": f"{parts.hostname}:{parts.port or PORTS[parts.scheme]}",
        "userid": unquote(parts.username or "guest"),
        "password": unquote(parts.password or "guest"),
        "virtual_host": unquote(parts.path[1:]) or "/",
        "ssl": tls if parts.scheme == "amqps" else False,
    }
