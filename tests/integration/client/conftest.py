"""Clients of both kinds, a real HTTP server and the real Redis that they talk to."""

from __future__ import annotations

import asyncio
import os
import threading
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from memstill_client import AsyncMemstill, Memstill
from tests.integration.client.doubles import Api, make_handler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(params=["blocking", "asynchronous"])
def call(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """``call(arguments of the client, method, …)`` on a client of either kind."""

    def block(client: dict[str, Any], method: str, *args: object, **kwargs: object) -> object:
        with Memstill(**client) as memstill:
            return getattr(memstill, method)(*args, **kwargs)

    async def wait_for(
        client: dict[str, Any], method: str, *args: object, **kwargs: object
    ) -> object:
        async with AsyncMemstill(**client) as memstill:
            return await getattr(memstill, method)(*args, **kwargs)

    def run(client: dict[str, Any], method: str, *args: object, **kwargs: object) -> object:
        return asyncio.run(wait_for(client, method, *args, **kwargs))

    return block if request.param == "blocking" else run


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No address comes from the environment of whoever runs the tests."""
    for name in [name for name in os.environ if name.startswith("MEMSTILL_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def api() -> Iterator[Api]:
    """An HTTP server on a free port of loopback."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), make_handler(lambda: known))
    known = Api(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield known
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(redis_url: str, key_prefix: str) -> dict[str, Any]:
    """Arguments of a client that pushes over this test's Stream."""
    return {"redis_url": redis_url, "key_prefix": key_prefix}
