"""How memories are used, fade and go, composed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis import Redis

from pipelines.adapters.postgres.decay import PostgresFading
from pipelines.adapters.postgres.legal_holds import PostgresHolds
from pipelines.adapters.postgres.pins import PostgresPins
from pipelines.adapters.postgres.retention import PostgresRetention
from pipelines.adapters.postgres.uses import PostgresUses
from pipelines.adapters.redis_uses import RedisUses
from pipelines.flows.decay import Decay
from pipelines.flows.purge import Purge
from pipelines.flows.uses import CountUses
from workers.uses import BackgroundUses

if TYPE_CHECKING:
    from contextlib import ExitStack

    from config.policy import Policies
    from config.settings import Settings
    from pipelines.adapters.postgres import Database
    from pipelines.ports import Clock, Waker


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What keeps memory from only growing."""

    counter: BackgroundUses
    count_uses: CountUses
    decay: Decay
    purge: Purge
    holds: PostgresHolds
    pins: PostgresPins


def make_lifecycle(
    *,
    settings: Settings,
    policies: Policies,
    database: Database,
    waker: Waker,
    clock: Clock,
    clients: ExitStack,
) -> Lifecycle:
    """All of it; ``clients`` closes what it opens."""
    redis = Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=15)
    clients.callback(redis.close)
    counter = BackgroundUses(RedisUses(redis, settings.key_prefix))
    clients.callback(counter.close)
    count_uses = CountUses(counter, PostgresUses(database), waker, clock)
    fading = PostgresFading(database)
    return Lifecycle(
        counter=counter,
        count_uses=count_uses,
        decay=Decay(fading, count_uses, waker, clock, policies.decay),
        purge=Purge(
            fading,
            PostgresRetention(database, policies.passage),
            clock,
            policies.decay,
            policies.retention,
        ),
        holds=PostgresHolds(database),
        pins=PostgresPins(database),
    )
