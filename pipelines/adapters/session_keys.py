"""How the session tier names its keys, and how it asks Redis."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from redis.exceptions import RedisError

from pipelines.errors import ErasedMeanwhile, SessionsUnavailable
from pipelines.ports import Subject

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from redis import Redis
    from redis.client import Pipeline

    from pipelines.model import Owner

# Part of each key: releases that lay keys out differently do not meet.
LAYOUT: Final = 1
ERASED: Final = b"erased"


@dataclass(frozen=True, slots=True)
class OwnerKeys:
    """The keys of one user: all in one slot of a cluster, and nobody else's.

    The user stands in them as a SHA-256, which is also all that stays after an erasure. Names
    behind it are percent-encoded, so that no colon in one ends it.
    """

    prefix: str
    owner: Owner

    @property
    def index(self) -> str:
        """All keys below, by when they were written first."""
        return f"{self._base}index"

    @property
    def episodes(self) -> str:
        """Episodes of all sessions."""
        return f"{self._base}u:episodes"

    def rate(self, name: str, window: timedelta) -> str:
        """The uses that one counter remembers."""
        return f"{self._base}u:rate:{milliseconds(window)}:{encode(name)}"

    def of_session(self, session_id: str, *parts: str) -> str:
        """A key of a session; with no parts how all of them begin."""
        return f"{self._base}s:{encode(session_id)}:" + ":".join(map(encode, parts))

    def once(self, key: str, name: str) -> str:
        """That the write of this name to that key was done."""
        return f"{self._base}once:{hashlib.sha256(f'{key}:{name}'.encode()).hexdigest()}"

    def erased(self, session_id: str | None = None) -> str:
        """Until when what began is refused."""
        if session_id is None:
            return f"{self._base}erased"
        return f"{self._base}erased:{Subject(self.owner, session_id).key}"

    @property
    def _base(self) -> str:
        return _begin(self.prefix, self.owner)


@lru_cache(maxsize=1024)
def _begin(prefix: str, owner: Owner) -> str:
    """How all keys of a user begin; an operation needs it for several."""
    return f"{prefix}:sessions:{LAYOUT}:{{{Subject(owner).key}}}:"


def encode(name: str) -> str:
    """A name without signs that mean something in a key."""
    return quote(name, safe="")


def milliseconds(span: timedelta) -> int:
    """A span as Redis counts it."""
    return round(span.total_seconds() * 1000)


def instant(at: datetime) -> int:
    """A time as Redis counts it: milliseconds since 1970."""
    return round(at.timestamp() * 1000)


def ask(
    redis: Redis | Pipeline, script: str, keys: Sequence[str], arguments: Sequence[object]
) -> Any:  # noqa: ANN401 - what the script answers
    """Run a script: the whole of it travels, so that it takes one round trip at all times.

    Its digest alone would take two more after each restart of the server, and is no faster.

    Raises:
        SessionsUnavailable: Redis did not answer, or cannot.
    """
    with translated():
        return redis.eval(script, len(keys), *keys, *arguments)  # type: ignore[arg-type]


def ask_write(
    redis: Redis, script: str, keys: Sequence[str], arguments: Sequence[object]
) -> Sequence[Any]:
    """Run a script that writes; what it answers behind its first word.

    Raises:
        ErasedMeanwhile: The subject was erased since.
        SessionsUnavailable: Redis did not answer, or cannot.
    """
    answer: Sequence[Any] = ask(redis, script, keys, arguments)
    if answer[0] == ERASED:
        raise ErasedMeanwhile("was erased after this had begun; nothing of it was kept")
    return answer


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the driver as errors of the port; their text may hold what was sent.

    Raises:
        SessionsUnavailable: Instead of any of them.
    """
    try:
        yield
    except RedisError as error:
        raise SessionsUnavailable(
            f"the session tier does not answer ({type(error).__name__})"
        ) from None
