"""The session tier of each kind, and a way to let time pass in it."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, cast

from redis import Redis

from config.sessions import SessionPolicy
from pipelines.adapters.redis_sessions import RedisSessions
from pipelines.model import Role
from pipelines.ports import ContextMessage, Write
from pipelines.testing.sessions import InMemorySessions
from pipelines.testing.surroundings import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

POLICY = SessionPolicy(max_messages=5, max_episodes=3)
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)


@dataclass(slots=True)
class Tier:
    """A session tier with its clock.

    Attributes:
        pass_time: Lets time pass; what expires is gone.
        writes: So many writes were named.
    """

    cache: RedisSessions | InMemorySessions
    now: Callable[[], datetime]
    pass_time: Callable[[timedelta], None]
    writes: int = 0

    def write(self, once: str | None = None, began_at: datetime | None = None) -> Write:
        """A write that begins now, under a name of its own if none is given."""
        self.writes += 1
        return Write(began_at or self.now(), once or f"write-{self.writes}")


def said(content: str, role: Role = Role.USER, *, asks: bool = False) -> ContextMessage:
    """A message of a conversation."""
    return ContextMessage(role, content, AT, None, asks)


@contextmanager
def open_tier(url: str, key_prefix: str, policy: SessionPolicy = POLICY) -> Iterator[Tier]:
    """The one on Redis."""
    with Redis.from_url(url) as redis:

        def pass_time(span: timedelta) -> None:
            age(redis, key_prefix, span)

        cache = RedisSessions(redis, key_prefix, policy)
        yield Tier(cache, lambda: datetime.now(UTC), pass_time)


def make_tier(policy: SessionPolicy = POLICY) -> Tier:
    """The one in memory."""
    clock = ManualClock(AT)
    return Tier(InMemorySessions(clock, policy), clock.now, clock.advance)


def age(redis: Redis, key_prefix: str, span: timedelta) -> None:
    """Make all keys as old as if so much time had passed."""
    passed = round(span.total_seconds() * 1000)
    for key in redis.scan_iter(f"{key_prefix}:*"):
        left = redis.pttl(key)
        assert left > 0, "every key has a lifetime"
        if left <= passed:
            redis.delete(key)
            continue
        redis.pexpire(key, left - passed)
        kind = redis.type(key)
        if kind == b"zset":
            for member in redis.zrange(key, 0, -1):
                redis.zincrby(key, -passed, cast("bytes", member))
        elif key.rsplit(b":", 2)[-1] == b"erased" or b":erased:" in key:
            redis.incrby(key, -passed)
