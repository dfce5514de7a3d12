"""The intake Stream in Redis: what a subject has on it, and whether it was read."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import structlog
from redis.exceptions import RedisError, ResponseError

from memstill_client.wire import STREAM_FIELD, stream_key
from pipelines.errors import QueueUnavailable
from pipelines.model import Owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis

    from pipelines.ports import Subject

    Entry = tuple[bytes, dict[bytes, bytes]]

log = structlog.get_logger(__name__)

GROUP = "intake"
PAGE = 200
FIELD = STREAM_FIELD.encode()


class IntakeStream:
    """``SubjectStream`` and ``IntakeBacklog`` on Redis.

    Args:
        redis: Closed by the caller.
        default_tenant: Whose an entry is that names no tenant.
    """

    def __init__(self, redis: Redis, key_prefix: str, default_tenant: str) -> None:
        self._redis = redis
        self._key = stream_key(key_prefix)
        self._default_tenant = default_tenant

    def mark(self) -> datetime:
        with _translated():
            try:
                last: bytes = self._redis.xinfo_stream(self._key)["last-generated-id"]
            except ResponseError:
                # Nothing was ever pushed.
                return datetime.fromtimestamp(0, UTC)
        return datetime.fromtimestamp(_milliseconds(last) / 1000, UTC)

    def remove(self, subject: Subject, until: datetime) -> int:
        removed = 0
        for page in self._pages(until):
            ids = [entry_id for entry_id, fields in page if self._is_of(fields, subject)]
            if ids:
                with _translated(), self._redis.pipeline(transaction=True) as pipeline:
                    pipeline.xack(self._key, GROUP, *ids)
                    pipeline.xdel(self._key, *ids)
                    pipeline.execute()
            removed += len(ids)
        return removed

    def count(self, subject: Subject, until: datetime) -> int:
        return sum(
            self._is_of(fields, subject) for page in self._pages(until) for _, fields in page
        )

    def has_until(self, until: datetime) -> bool:
        last = int(until.timestamp() * 1000)
        with _translated():
            return bool(self._redis.xrange(self._key, "-", str(last), count=1))

    def length(self) -> int:
        with _translated():
            return self._redis.xlen(self._key)

    def compact(self) -> None:
        # Deleted entries stay in the append-only file until it is rewritten.
        try:
            self._redis.bgrewriteaof()
        except RedisError as error:
            log.info("stream_not_compacted", error=type(error).__name__)

    def _pages(self, until: datetime) -> Iterator[list[Entry]]:
        last, start = int(until.timestamp() * 1000), "-"
        while True:
            with _translated():
                found = self._redis.xrange(self._key, start, str(last), count=PAGE)
            page = cast("list[Entry]", found)
            if page:
                yield page
            if len(page) < PAGE:
                return
            start = f"({page[-1][0].decode()}"

    def _is_of(self, fields: dict[bytes, bytes], subject: Subject) -> bool:
        try:
            said = json.loads(fields[FIELD])
            owner = Owner(said.get("tenant_id") or self._default_tenant, said["user_id"])
            session: object = said["session_id"]
        except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
            return False
        return owner == subject.owner and subject.session_id in {None, session}


def _milliseconds(entry_id: bytes) -> int:
    return int(entry_id.partition(b"-")[0])


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ResponseError:
        raise
    except RedisError as error:
        raise QueueUnavailable(f"Redis does not answer ({type(error).__name__})") from None
