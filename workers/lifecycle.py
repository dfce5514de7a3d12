"""How memories are used, fade and go, composed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
    from pipelines.ports import Waker
    from workers.ground import Ground


@dataclass(frozen=True, slots=True)
class Lifecycle:
    """What keeps memory from only growing."""

    counter: BackgroundUses
    count_uses: CountUses
    decay: Decay
    purge: Purge
    holds: PostgresHolds
    pins: PostgresPins


def make_lifecycle(ground: Ground, waker: Waker) -> Lifecycle:
    """All of it."""
    database, clock, policies = ground.database, ground.clock, ground.policies
    counter = BackgroundUses(RedisUses(ground.open_redis(15), ground.settings.key_prefix))
    ground.clients.callback(counter.close)
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
