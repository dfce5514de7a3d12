"""Uses of memories, counted in Redis until they are written down."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from redis.exceptions import RedisError, ResponseError

from pipelines.errors import QueueUnavailable
from pipelines.model import MemoryId
from pipelines.ports import CountedUses

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from redis import Redis

# Beside the counts, under the id of a memory and this, stands when it was used last.
_AT = "@"
_BATCH = "batch"
# Somebody else may have dropped it, and taken the next.
_DROP = """
if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then redis.call('DEL', KEYS[1]) end
"""


class RedisUses:
    """``UseCounter`` on Redis.

    One hash holds counts and times; to be taken it is renamed, which nobody can do twice, and it
    stays under that name until it is dropped. So a crash loses or doubles nothing.
    """

    def __init__(self, redis: Redis, key_prefix: str) -> None:
        self._redis = redis
        # In braces, so that a cluster keeps both keys in one place and can rename one.
        self._counting = f"{{{key_prefix}:uses}}:counting"
        self._taken = f"{{{key_prefix}:uses}}:taken"

    def note(self, memories: Collection[MemoryId], now: datetime) -> None:
        if not memories:
            return
        pipeline = self._redis.pipeline(transaction=False)
        for key in memories:
            pipeline.hincrby(self._counting, str(key), 1)
            pipeline.hset(self._counting, f"{key}{_AT}", str(now.timestamp()))
        try:
            pipeline.execute()
        except RedisError as error:
            raise _unavailable(error) from None

    def take(self) -> CountedUses | None:
        try:
            if not self._redis.exists(self._taken) and not self._rename():
                return None
            # One name, whoever takes it at the same time.
            self._redis.hsetnx(self._taken, _BATCH, str(uuid.uuid4()))
            found = cast("dict[bytes, bytes]", self._redis.hgetall(self._taken))
        except RedisError as error:
            raise _unavailable(error) from None
        return _read({name.decode(): value.decode() for name, value in found.items()})

    def drop(self, batch: str) -> None:
        try:
            self._redis.eval(_DROP, 1, self._taken, _BATCH, batch)
        except RedisError as error:
            raise _unavailable(error) from None

    def _rename(self) -> bool:
        try:
            return bool(self._redis.renamenx(self._counting, self._taken))
        except ResponseError:
            return False  # nothing was counted


def _read(found: dict[str, str]) -> CountedUses:
    batch = found.pop(_BATCH)
    return CountedUses(
        batch,
        {MemoryId(uuid.UUID(name)): int(count) for name, count in _counts(found)},
        {
            MemoryId(uuid.UUID(name.removesuffix(_AT))): datetime.fromtimestamp(float(at), UTC)
            for name, at in found.items()
            if name.endswith(_AT)
        },
    )


def _counts(found: dict[str, str]) -> Iterator[tuple[str, str]]:
    return ((name, value) for name, value in found.items() if not name.endswith(_AT))


def _unavailable(error: RedisError) -> QueueUnavailable:
    return QueueUnavailable(
        f"Redis does not count uses ({type(error).__name__}): check that it runs and that "
        "MEMSTILL_REDIS_URL is right"
    )
