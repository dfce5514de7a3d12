"""The tools over streamable HTTP: each request with the API key of whom it acts for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn
from starlette.datastructures import Headers

from memstill_client import Refused, Unavailable
from pipelines.errors import ConfigurationError
from workers.mcp.asking import NO_USER, Asking, EachRequest
from workers.mcp.server import make_mcp_server
from workers.problems import problem

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send

    from memstill_client import AsyncMemstill
    from workers.mcp.asking import Server

PATH = "/mcp"
USER_HEADER = "X-Memstill-User"
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
GRACE_SECONDS = 5


class Gate:
    """An ASGI application before the tools: whoever opens nothing gets no further.

    Args:
        inner: Serves the protocol.
        desk: Is told for whom each request is.
        server: Where memstill is; it alone knows what a key opens.
        user_id: Whose memory it is where neither key nor header say so.
    """

    def __init__(
        self, inner: ASGIApp, desk: EachRequest, server: Server, user_id: str | None
    ) -> None:
        self._inner = inner
        self._desk = desk
        self._server = server
        self._user_id = user_id
        self._memstill: AsyncMemstill | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        headers = Headers(scope=scope)
        scheme, _, key = headers.get("Authorization", "").partition(" ")
        bearer = key.strip() if scheme.lower() == "bearer" else ""
        refused = await self._enter(bearer, headers.get(USER_HEADER))
        await (refused or self._inner)(scope, receive, send)

    async def _enter(self, key: str, named: str | None) -> Response | None:
        """Note for whom the request is, or say why it gets no further."""
        try:
            client = self._open().with_key(key)
            bound = (await client.caller()).user_id
        except Refused as error:
            headers = {"WWW-Authenticate": "Bearer"}
            return problem(401, "unauthorized", "Authorization", error.reason, headers)
        except (Unavailable, ConfigurationError) as error:
            await self._look_again()
            return problem(503, "unavailable", None, str(error), {"Retry-After": "2"})
        if bound is not None and named not in {None, bound}:
            reason = "names another user than the one that the API key acts for; leave it out"
            return problem(403, "forbidden", USER_HEADER, reason)
        user_id = bound or named or self._user_id
        if user_id is None:
            reason = f"is missing, and the API key is bound to no user; {NO_USER}"
            return problem(422, "invalid_request", USER_HEADER, reason)
        self._desk.current.set(Asking(client, user_id))
        return None

    def _open(self) -> AsyncMemstill:
        """Connections to memstill for all keys; an empty key is none, not the environment's."""
        if self._memstill is None:
            self._memstill = self._server.open("")
        return self._memstill

    async def _look_again(self) -> None:
        """It was away, and may come back at another address."""
        away, self._memstill = self._memstill, None
        if away is not None:
            await away.close()


async def check_guarded(server: Server, host: str) -> None:
    """Refuse to stand open to a network.

    Raises:
        ConfigurationError: Others could reach it, and memstill asks nobody for a key.
        MemstillError: memstill does not answer.
    """
    if host in LOOPBACK:
        return
    client = server.open("")
    try:
        await client.caller()
    except Refused:
        return
    finally:
        await client.close()
    raise ConfigurationError(
        f"whoever reaches {host} could read all memories: memstill asks for no API key. Set "
        "MEMSTILL_AUTH=keys where it runs, or listen on 127.0.0.1"
    )


async def serve_http(server: Server, user_id: str | None, host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM; no session is kept between two requests."""
    desk = EachRequest()
    inner = make_mcp_server(desk).streamable_http_app(
        streamable_http_path=PATH, stateless_http=True, json_response=True, host=host
    )
    config = uvicorn.Config(
        Gate(inner, desk, server, user_id),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    await uvicorn.Server(config).serve()
