"""The newest states of threads in Redis: close at hand, and never asked for the truth."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, cast

import structlog
from redis.exceptions import RedisError

from pipelines.errors import QueueUnavailable
from pipelines.model import SHADOW
from pipelines.ports import HotState
from pipelines.stages.checkpoints.chain import CheckpointId, Thread

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from redis.client import Pipeline

    from pipelines.model import Owner
    from pipelines.ports import Subject

log = structlog.get_logger(__name__)

VERSION: Final = 1
# Each change of a lifetime is a write on Redis' disk: it is made when so much of it is left.
FRESH: Final = 11 / 12
# A Redis that hangs costs each process one time-out in so many seconds.
PAUSE_SECONDS: Final = 5.0


class RedisHotCheckpoints:
    """``HotCheckpoints`` on Redis.

    Names stand in no key, and of a user's keys there is a list, which is found by the user.

    Args:
        redis: Closed by the caller; it should give up soon.
    """

    name = "hot checkpoints"

    def __init__(self, redis: Redis, key_prefix: str) -> None:
        self._redis = redis
        self._prefix = key_prefix
        self._lock = threading.Lock()
        self._away_until = 0.0

    def find(self, thread: Thread, ttl: timedelta) -> HotState | None:
        if self._is_away():
            return None
        key = self._key(thread)
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.get(key)
                pipeline.pttl(key)
                raw, left = pipeline.execute()
                if raw is not None and timedelta(milliseconds=left) < ttl * FRESH:
                    self._note_key(pipeline, thread.owner, key, ttl)
                    pipeline.expire(key, ttl)
                    pipeline.execute()
        except RedisError as error:
            self._note_away(error)
            return None
        return None if raw is None else read_hot(raw)

    def keep(self, thread: Thread, hot: HotState, ttl: timedelta) -> None:
        if self._is_away():
            return
        key = self._key(thread)
        try:
            # The list first: a key that is on no list would outlive its user.
            with self._redis.pipeline(transaction=True) as pipeline:
                self._note_key(pipeline, thread.owner, key, ttl)
                pipeline.set(key, write_hot(hot), ex=ttl)
                pipeline.execute()
        except RedisError as error:
            self._note_away(error)

    def remove(self, subject: Subject, until: datetime) -> int:
        try:
            found = list(self._entries(subject, until))
            if found:
                self._redis.delete(*found)
                self._redis.zrem(self._list(subject.owner), *found)
        except RedisError as error:
            raise _unavailable(error) from None
        return len(found)

    def count(self, subject: Subject, until: datetime) -> int:
        try:
            return sum(1 for _ in self._entries(subject, until))
        except RedisError as error:
            raise _unavailable(error) from None

    def _entries(self, subject: Subject, until: datetime) -> Iterator[bytes]:
        keys = set(cast("list[bytes]", self._redis.zrange(self._list(subject.owner), 0, -1)))
        if subject.session_id is not None:
            keys &= {self._key(Thread(subject.owner, subject.session_id)).encode()}
        for key in sorted(keys):
            raw = cast("bytes | None", self._redis.get(key))
            hot = None if raw is None else read_hot(raw)
            # What cannot be read has no time, and is of no use to anybody.
            if raw is not None and (hot is None or hot.saved_at <= until):
                yield key

    def _key(self, thread: Thread) -> str:
        names = SHADOW.join((*thread.owner.names, thread.id))
        return f"{self._prefix}:checkpoint:{_hash(names)}"

    def _list(self, owner: Owner) -> str:
        return f"{self._prefix}:checkpoints-of:{_hash(SHADOW.join(owner.names))}"

    def _note_key(self, pipeline: Pipeline, owner: Owner, key: str, ttl: timedelta) -> None:
        """Put a key on its owner's list, from which those go that ended long ago."""
        named, now, seconds = self._list(owner), time.time(), ttl.total_seconds()
        pipeline.zadd(named, {key: now + seconds})
        pipeline.zremrangebyscore(named, "-inf", now - seconds)
        pipeline.expire(named, ttl)

    def _is_away(self) -> bool:
        with self._lock:
            return time.monotonic() < self._away_until

    def _note_away(self, error: RedisError) -> None:
        with self._lock:
            self._away_until = time.monotonic() + PAUSE_SECONDS
        log.info("hot_checkpoints_away", error=type(error).__name__)


def write_hot(hot: HotState) -> bytes:
    """An entry: a line that says what it is, and the state."""
    head = {"schema_version": VERSION, "id": str(hot.id), "saved_at": hot.saved_at.isoformat()}
    return json.dumps(head).encode() + b"\n" + hot.state


def read_hot(raw: bytes) -> HotState | None:
    """What an entry holds; None if another release wrote it, or if it is none."""
    line, _, state = raw.partition(b"\n")
    try:
        head = json.loads(line)
        if head["schema_version"] != VERSION:
            return None
        key = CheckpointId(uuid.UUID(head["id"]))
        return HotState(key, state, datetime.fromisoformat(head["saved_at"]))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _hash(names: str) -> str:
    return hashlib.sha256(names.encode()).hexdigest()


def _unavailable(error: RedisError) -> QueueUnavailable:
    return QueueUnavailable(f"Redis does not answer ({type(error).__name__})")
