"""What every part of a process stands on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contextlib import ExitStack

    from celery import Celery
    from redis import Redis

    from config.policy import Policies
    from config.settings import Settings
    from pipelines.adapters.breaking import Breakers
    from pipelines.adapters.postgres import Database
    from pipelines.ports import Clock
    from workers.tracing import Tracer


@dataclass(frozen=True, slots=True)
class Ground:
    """Settings, the truth, the time, and who closes what is opened.

    Attributes:
        app: Sends wake-ups.
        clients: Closes connections when the process ends.
        breakers: Shared by all who ask the same server.
        tracer: Where the work belongs, for whoever collects traces.
    """

    settings: Settings
    policies: Policies
    app: Celery
    clock: Clock
    database: Database
    clients: ExitStack
    breakers: Breakers
    tracer: Tracer

    def open_redis(self, seconds: float) -> Redis:
        """A connection of its own to Redis, whose answers are waited for so long."""
        from redis import Redis

        redis = Redis.from_url(self.settings.redis_url.get_secret_value(), socket_timeout=seconds)
        self.clients.callback(redis.close)
        return redis
