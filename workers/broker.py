"""The broker of wake-ups: Redis, or RabbitMQ where the settings name one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from amqp.exceptions import AMQPError
from kombu.entity import Queue
from kombu.exceptions import OperationalError
from kombu.transport import TRANSPORT_ALIASES
from redis import Redis
from redis.exceptions import RedisError

from pipelines.adapters.intake_queue import open_rabbitmq, tls_of
from pipelines.errors import QueueUnavailable
from workers.queues import BACKFILL, QUEUES

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.settings import Settings

BROKER_ERRORS = (OperationalError, RedisError, AMQPError, OSError)
PROBE_SECONDS = 2.0
_REDIS_TRANSPORT = "workers.redis_transport:Transport"


def make_broker(settings: Settings) -> dict[str, Any]:
    """What Celery is told of the broker and its queues."""
    names = list(dict.fromkeys([*QUEUES.values(), BACKFILL]))
    if settings.broker_url is None:
        TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), _REDIS_TRANSPORT))
        return {
            "broker_url": broker_url(settings.redis_url.get_secret_value()),
            "broker_transport_options": _redis_options(settings.key_prefix),
            "task_queues": [Queue(name) for name in names],
        }
    # Quorum queues live on a majority of the nodes: a node that goes takes no wake-up along.
    arguments = {"x-queue-type": "quorum"}
    return {
        "broker_url": settings.broker_url.get_secret_value(),
        "broker_transport_options": {"write_timeout": 15},
        "broker_heartbeat": 30,
        "broker_use_ssl": tls_of(settings.broker_url.get_secret_value()),
        "task_queues": [Queue(name, queue_arguments=arguments) for name in names],
    }


def make_probe(settings: Settings) -> Callable[[], None]:
    """Asks the broker for a sign of life.

    Raises:
        QueueUnavailable: By what is returned: RabbitMQ does not answer.
        RedisError: Likewise, of Redis.
    """
    if settings.broker_url is None:
        redis = Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=PROBE_SECONDS,
            socket_connect_timeout=PROBE_SECONDS,
        )

        def ping() -> None:
            with redis:
                redis.ping()

        return ping
    url = settings.broker_url.get_secret_value()

    def connect() -> None:
        try:
            with open_rabbitmq(url, PROBE_SECONDS) as connection:
                connection.connect()
        except BROKER_ERRORS as error:
            raise QueueUnavailable(f"RabbitMQ: {type(error).__name__}") from None

    return connect


def broker_url(redis_url: str) -> str:
    """The Redis address as kombu spells it: a Unix socket is ``redis+socket://``."""
    if not redis_url.startswith("unix://"):
        return redis_url
    path, _, query = redis_url.removeprefix("unix://").partition("?")
    options = [part for part in query.split("&") if part]
    database = next((part.removeprefix("db=") for part in options if part.startswith("db=")), "0")
    return f"redis+socket://{path}?virtual_host={database}"


def _redis_options(key_prefix: str) -> dict[str, Any]:
    return {
        "global_keyprefix": f"{key_prefix}:celery:",
        "visibility_timeout": 300,
        "unacked_restore_interval": 10,
        # One message a second at the default: a sweep of them would take minutes.
        "unacked_restore_throttle": 1,
        "priority_steps": [0],
        "queue_order_strategy": "workers.queues:BackfillLast",
        # A wake-up gives up at once when the broker is away: whoever pushes must not wait for
        # it, and the sweep makes it good. A worker's own reconnection is not bounded by this.
        "max_retries": 1,
        "interval_start": 0,
        "interval_step": 0.1,
        "interval_max": 0.1,
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 15,
    }
