"""Puts together what saves, loads and cleans up checkpoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from pipelines.adapters.hot_checkpoints import RedisHotCheckpoints
from pipelines.adapters.postgres import PostgresCheckpoints
from pipelines.flows.checkpoint import Checkpoints
from pipelines.flows.clean_checkpoints import CleanCheckpoints

if TYPE_CHECKING:
    from contextlib import ExitStack

    from config.settings import Settings
    from pipelines.adapters.postgres import Database
    from pipelines.ports import Clock

# Whoever waits for a checkpoint waits for PostgreSQL as well, and needs nothing else.
HOT_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Checkpointing:
    """All that there is about checkpoints."""

    flow: Checkpoints
    clean: CleanCheckpoints
    hot: RedisHotCheckpoints


def make_checkpointing(
    settings: Settings, database: Database, clock: Clock, clients: ExitStack
) -> Checkpointing:
    """Put it together; the connections to Redis are closed with ``clients``."""
    url, policy = settings.redis_url.get_secret_value(), settings.policies().checkpoints
    redis = Redis.from_url(url, socket_timeout=HOT_SECONDS, retry=Retry(NoBackoff(), 1))
    clients.callback(redis.close)
    store = PostgresCheckpoints(database)
    hot = RedisHotCheckpoints(redis, settings.key_prefix)
    return Checkpointing(
        Checkpoints(store, hot, clock, policy), CleanCheckpoints(store, clock, policy), hot
    )
