"""The session tier, as the settings place it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.adapters.redis_sessions import RedisSessions, open_redis

if TYPE_CHECKING:
    from contextlib import ExitStack

    from config.policy import Policies
    from config.settings import Settings


def open_session_tier(settings: Settings, policies: Policies, clients: ExitStack) -> RedisSessions:
    """On connections of its own: an agent waits for them less long than a worker would.

    Nothing is asked of Redis here; it may be away.
    """
    redis = open_redis(settings.redis_url.get_secret_value(), policies.session)
    clients.callback(redis.close)
    return RedisSessions(redis, settings.key_prefix, policies.session)
