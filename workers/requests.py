"""Every request under a name of its own, which the answer and each line of the log carry."""

from __future__ import annotations

import logging
import re
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from workers.callers import PUBLIC
from workers.problems import REQUEST_ID, problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger(__name__)

HEADER = "X-Request-Id"
# Nobody is there to read it: for the log alone.
CLIENT_GONE = 499
SERVER_ERROR = 500
# Whoever asks may bring a name; what could be more than a name in a log is not taken.
_NAME = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@dataclass(slots=True)
class _Answer:
    """What is known of an answer, once it has begun."""

    status: int | None = None


class Requests:
    """An ASGI application before another one.

    Args:
        inner: Answers.
        in_flight: So many at once; more are told to come again.
    """

    def __init__(self, inner: ASGIApp, in_flight: int) -> None:
        self._inner = inner
        self._max_in_flight = in_flight
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        name = given if _NAME.fullmatch(given) else uuid.uuid4().hex
        # For as long as the task of this request takes: the server logs what breaks in it.
        structlog.contextvars.bind_contextvars(**{REQUEST_ID: name})
        await self._answer(scope, receive, send, name)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, name: str) -> None:
        answer, began = _Answer(), time.monotonic()
        is_head = scope["method"] == "HEAD"

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                MutableHeaders(scope=message)[HEADER] = name
            elif is_head and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        # HEAD is what GET says without saying it.
        asked = {**scope, "method": "GET"} if is_head else scope
        self._in_flight += 1
        try:
            await self._choose(scope)(asked, receive, send_named)
        except ClientDisconnect:
            answer.status = CLIENT_GONE
        finally:
            self._in_flight -= 1
            _tell(asked, scope["method"], answer.status, time.monotonic() - began)

    def _choose(self, scope: Scope) -> ASGIApp:
        if self._in_flight <= self._max_in_flight or scope["path"] in PUBLIC:
            return self._inner
        reason = f"{self._max_in_flight} requests are under way; wait as Retry-After says"
        return problem(503, "unavailable", None, reason, {"Retry-After": "1"})


def _tell(scope: Scope, method: str, status: int | None, seconds: float) -> None:
    """Say what was answered: by the route's pattern, for paths and queries name users."""
    is_broken = status is None or status >= SERVER_ERROR
    if not (is_broken or logging.getLogger(__name__).isEnabledFor(logging.DEBUG)):
        return
    tell = log.warning if is_broken else log.debug
    route = getattr(scope.get("route"), "path", None)
    took = round(seconds * 1_000, 1)
    tell("request_answered", method=method, route=route, status=status, took_ms=took)
