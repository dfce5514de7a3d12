"""The session tier, as the settings place it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.adapters.redis_sessions import RedisSessions, open_redis
from pipelines.adapters.redis_working import RedisWorking
from pipelines.flows.sessions import Sessions
from pipelines.flows.working import WorkingMemory
from workers.models import make_chat

if TYPE_CHECKING:
    from pipelines.ports import Ledger, Summariser, TokenCounter
    from workers.ground import Ground


@dataclass(frozen=True, slots=True)
class SessionTier:
    """What works on running sessions.

    Attributes:
        cache: Where they are kept: what erases asks it, too.
    """

    cache: RedisSessions
    sessions: Sessions
    working: WorkingMemory


def open_session_tier(ground: Ground, tokens: TokenCounter, ledger: Ledger) -> SessionTier:
    """On connections of its own: an agent waits for them less long than a worker would.

    Nothing is asked of Redis here; it may be away.
    """
    settings, policies = ground.settings, ground.policies
    redis = open_redis(settings.redis_url.get_secret_value(), policies.session)
    ground.clients.callback(redis.close)
    cache = RedisSessions(redis, settings.key_prefix, policies.session)
    sessions = Sessions(cache, ground.clock, policies.personal_data, policies.session)
    store = RedisWorking(redis, settings.key_prefix, policies.working, policies.session)
    summariser = _make_summariser(ground, ledger)
    working = WorkingMemory(store, sessions, tokens, summariser, policies.working)
    return SessionTier(cache, sessions, working)


def _make_summariser(ground: Ground, ledger: Ledger) -> Summariser | None:
    """The model that distills; without one sentences are chosen, not written."""
    if ground.settings.distiller == "offline":
        return None
    from pipelines.adapters.model_summariser import ModelSummariser
    from pipelines.adapters.unkept_chat import UnkeptChat

    limit = ground.policies.working.model_seconds
    chat = make_chat(ground, ground.settings.model_name, max_seconds=limit)
    return ModelSummariser(UnkeptChat(chat, ledger))
