"""The intake queue in RabbitMQ, as far as erasing and backups are concerned.

Nothing can be taken out of the middle of a queue. So what a subject has in it is let through to
the intake, which refuses whatever was pushed before its erasure; and the erasure is proven only
when nothing that old waits any more.
"""

from __future__ import annotations

import ssl
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from amqp.exceptions import AMQPError
from kombu.connection import Connection
from kombu.exceptions import OperationalError

from memstill_client.queue_format import PUSHED_AT_HEADER, QUEUE_ARGUMENTS, intake_queue
from pipelines.errors import QueueUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.ports import Clock, Subject


def open_rabbitmq(url: str, seconds: float, *, heartbeat: int = 0) -> Any:  # noqa: ANN401
    """A connection that is made when it is first used; over TLS the server's name is checked.

    Args:
        url: amqp:// or amqps://.
        seconds: It waits so long for an answer.
        heartbeat: Whoever says nothing for twice as many seconds is taken for dead; 0 for never.
    """
    return Connection(
        url,
        connect_timeout=seconds,
        heartbeat=heartbeat,
        ssl=tls_of(url),
        transport_options={"read_timeout": seconds, "write_timeout": seconds},
    )


def tls_of(url: str) -> dict[str, Any] | bool:
    """What the driver is told of TLS: the certificate must be the server's."""
    parts = urlsplit(url)
    if parts.scheme != "amqps":
        return False
    return {"server_hostname": parts.hostname, "cert_reqs": ssl.CERT_REQUIRED}


class IntakeQueue:
    """``SubjectStream`` and ``IntakeBacklog`` on RabbitMQ, over a connection for each question.

    Args:
        seconds: An answer is waited for so long.
    """

    def __init__(self, url: str, key_prefix: str, clock: Clock, seconds: float) -> None:
        self._url = url
        self._name = intake_queue(key_prefix)
        self._clock = clock
        self._seconds = seconds

    def mark(self) -> datetime:
        # Whoever pushes dates what he pushes.
        return self._clock.now()

    def remove(self, subject: Subject, until: datetime) -> int:
        del subject, until
        return 0

    def count(self, subject: Subject, until: datetime) -> int:
        """1 while anything waits that was pushed until then: it may be the subject's."""
        del subject
        return int(self.has_until(until))

    def has_until(self, until: datetime) -> bool:
        with self._channel() as channel:
            _declare(channel, self._name)
            first = channel.basic_get(self._name, no_ack=False)
            if first is None:
                return False
            channel.basic_reject(first.delivery_tag, requeue=True)
            stated = (first.headers or {}).get(PUSHED_AT_HEADER)
        # What does not say when it was pushed is older than all.
        return not isinstance(stated, int) or datetime.fromtimestamp(stated / 1000, UTC) <= until

    def length(self) -> int:
        with self._channel() as channel:
            return _declare(channel, self._name)

    def compact(self) -> None:
        """What was consumed leaves the files of the broker by itself."""

    @contextmanager
    def _channel(self) -> Iterator[Any]:
        try:
            with open_rabbitmq(self._url, self._seconds) as connection:
                yield connection.channel()
        except (AMQPError, OperationalError, OSError) as error:
            raise QueueUnavailable(f"RabbitMQ does not answer ({type(error).__name__})") from None


def _declare(channel: Any, name: str) -> int:  # noqa: ANN401 - kombu has no types
    arguments = dict(QUEUE_ARGUMENTS)
    declared = channel.queue_declare(
        queue=name, durable=True, auto_delete=False, arguments=arguments
    )
    count: int = declared.message_count
    return count
