"""``memstill mcp``: memory as tools of any agent that speaks the Model Context Protocol."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from workers.command_options import ApiUrl, DataDir, Tenant, err


def mcp(
    user: Annotated[
        str | None,
        typer.Option(
            "--user",
            envvar="MEMSTILL_USER",
            help="Whose memory; not needed with an API key that is bound to a user.",
        ),
    ] = None,
    http: Annotated[
        bool,
        typer.Option("--http", help="Listen on a port, each request with a key of its own."),
    ] = False,
    host: Annotated[str, typer.Option(help="With --http: the address.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="With --http: the port; the path is /mcp.")
    ] = 8378,
    data: DataDir = None,
    api: ApiUrl = None,
    tenant: Tenant = None,
) -> None:
    """Serve recall, remember, forget and history as tools, over standard input and output.

    An agent starts it by itself. It needs the API of memstill and nothing else: the one that
    `memstill up` runs, or the one that --api names with the key in MEMSTILL_API_KEY.
    """
    from workers.mcp.asking import OneUser, Server

    server = Server(api, data, tenant)
    if http:
        from workers.mcp.http import PATH, check_guarded, serve_http

        asyncio.run(check_guarded(server, host))
        err.print(f"tools on http://{host}:{port}{PATH}", markup=False)
        asyncio.run(serve_http(server, user, host, port))
        return
    from workers.mcp.server import make_mcp_server

    asyncio.run(make_mcp_server(OneUser(server, user)).run_stdio_async())
