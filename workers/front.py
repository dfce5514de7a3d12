"""What listens from the first moment on: it says that it lives, and lets in when it can work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse

from workers.health import health_view, status_code

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from workers.health import HealthWatch

RETRY_SECONDS = 2


class Front:
    """An ASGI application before another one that may not be there yet.

    The looking after health begins and ends with the server.
    """

    def __init__(self, health: HealthWatch) -> None:
        self.health = health
        self._inner: ASGIApp | None = None

    def let_in(self, inner: ASGIApp) -> None:
        """Hand requests on from now on."""
        self._inner = inner

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif self._inner is not None:
            await self._inner(scope, receive, send)
        elif scope["type"] == "http":
            await self._answer(scope["path"])(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.health.start()
                await send({"type": "lifespan.startup.complete"})
            else:
                self.health.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    def _answer(self, path: str) -> JSONResponse:
        if path == "/healthz":
            return JSONResponse({"status": "live"})
        health = self.health.read()
        if path == "/readyz":
            return JSONResponse(health_view(health), status_code(health))
        reason = f"memstill cannot work yet: {health.reason}"
        return JSONResponse(
            {"error": {"type": "unavailable", "field": None, "reason": reason}},
            503,
            {"Retry-After": str(RETRY_SECONDS)},
        )
