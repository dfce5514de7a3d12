"""Requests to the API, timed by the route that took them."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

from workers.metrics.catalogue import REQUEST_SECONDS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Whoever asks for what is not there can make up any path and method.
_NO_ROUTE = ("other", "none")
_UNANSWERED = 500


class TimedRequests:
    """An ASGI application around another one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = perf_counter(), _UNANSWERED

        async def note_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, note_status)
        finally:
            route = scope.get("route")
            method, path = _NO_ROUTE if route is None else (scope["method"], route.path)
            said = f"{status // 100}xx"
            REQUEST_SECONDS.labels(method, path, said).observe(perf_counter() - began)
