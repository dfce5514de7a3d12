"""The intake Stream in Redis: one class for each kind of code, and what they share."""

from __future__ import annotations

from contextlib import contextmanager
from hashlib import sha1
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

import redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import EqualJitterBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ClusterDownError,
    ConnectionError,  # noqa: A004 - redis-py's own name, used in this module only
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TimeoutError,  # noqa: A004 - redis-py's own name, used in this module only
    TryAgainError,
)
from redis.retry import Retry

from memstill_client.appending import SCRIPT, check_taken, make_arguments
from memstill_client.errors import NotConfigured, Refused, Unavailable
from memstill_client.replies import Receipt
from memstill_client.wire import stream_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from memstill_client.endpoints import Endpoints
    from memstill_client.pushes import Push

RETRIES: Final = 2
DIGEST: Final = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()
DENIED = (AuthenticationError, AuthorizationError, NoPermissionError)
PASSING = (ConnectionError, TimeoutError, ReadOnlyError, TryAgainError, ClusterDownError)


class Stream:
    """The intake Stream of one Redis.

    Args:
        timeout: Seconds for one try of one append.
    """

    def __init__(self, url: str, endpoints: Endpoints, timeout: float) -> None:
        self._url = url
        self._key = stream_key(endpoints.key_prefix)
        self._max_waiting = endpoints.max_waiting
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(_backoff(), RETRIES),
        )

    def push(self, pushes: Sequence[Push]) -> list[Receipt]:
        """Append in one round trip; a repeated entry is dropped at the intake.

        Raises:
            Busy: Too much waits; nothing was appended.
        """
        receipts = [receipt_of(push) for push in pushes]
        arguments = make_arguments(self._key, pushes, self._max_waiting)
        with _redis_errors(self._url, self._key):
            try:
                answer = self._redis.evalsha(DIGEST, 1, *arguments)
            except NoScriptError:
                answer = self._redis.eval(SCRIPT, 1, *arguments)
        check_taken(cast("int", answer), self._max_waiting)
        return receipts

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


class AsyncStream:
    """``Stream``, to be awaited."""

    def __init__(self, url: str, endpoints: Endpoints, timeout: float) -> None:
        self._url = url
        self._key = stream_key(endpoints.key_prefix)
        self._max_waiting = endpoints.max_waiting
        self._redis = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=AsyncRetry(_backoff(), RETRIES),
        )

    async def push(self, pushes: Sequence[Push]) -> list[Receipt]:
        """See ``Stream.push``."""
        receipts = [receipt_of(push) for push in pushes]
        arguments = make_arguments(self._key, pushes, self._max_waiting)
        with _redis_errors(self._url, self._key):
            try:
                answer = await self._redis.evalsha(DIGEST, 1, *arguments)
            except NoScriptError:
                answer = await self._redis.eval(SCRIPT, 1, *arguments)
        check_taken(cast("int", answer), self._max_waiting)
        return receipts

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _backoff() -> EqualJitterBackoff:
    """Waiting times between tries, in seconds: short, because the agent waits too."""
    return EqualJitterBackoff(base=0.1, cap=1.0)


@contextmanager
def _redis_errors(redis_url: str, key: str) -> Iterator[None]:
    """Translate the driver's errors.

    Their texts can quote the command, and with it the transcript, so neither text nor cause
    is passed on.
    """
    try:
        yield
    except RedisError as error:
        raise _translate(error, redis_url, key) from None


def _translate(error: RedisError, redis_url: str, key: str) -> Unavailable | Refused:
    # On a unix socket the asynchronous driver wraps the server's "no" as a lost connection.
    if isinstance(error, DENIED) or isinstance(error.__cause__, DENIED):
        reason = (
            "Redis refused the credentials, or this user may not append to the Stream: that "
            f"takes the commands EVALSHA, EVAL, XLEN and XADD on the key {key}"
        )
        return Refused("redis_refused", "redis_url", reason)
    if isinstance(error, PASSING):
        return _unreachable(redis_url, error)
    if isinstance(error, OutOfMemoryError):
        return Unavailable(
            "Redis is full and took nothing in; let the workers catch up or give it memory, "
            "then repeat the call"
        )
    return Refused(
        "redis_refused",
        "key_prefix",
        f"Redis cannot append to the Stream {key} ({type(error).__name__}); either the key "
        "holds something else or the server is older than 6.2",
    )


def receipt_of(push: Push) -> Receipt:
    """The receipt that the intake will give this push, known before it is read."""
    if push.receipt is None:
        raise NotConfigured("a push over a queue needs a tenant; pass tenant_id")
    return Receipt(push.receipt, None, push.tenant_id)


def _unreachable(redis_url: str, error: RedisError) -> Unavailable:
    return Unavailable(
        f"Redis did not answer at {_shown(redis_url)} ({type(error).__name__}); check that it "
        "runs and that MEMSTILL_REDIS_URL is right, then repeat the call: pushing again is safe"
    )


def _shown(redis_url: str) -> str:
    """The address without its password."""
    parts = urlsplit(redis_url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    return f"{parts.scheme}://{parts.hostname}:{parts.port or 6379}"
