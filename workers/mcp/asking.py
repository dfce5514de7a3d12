"""For whom a tool is called, and the client that asks memstill for them."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from memstill_client import AsyncMemstill, MemstillError, NotConfigured
from workers.embedded.endpoints import default_data_dir, read_endpoints

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_SECONDS = 30.0
NO_USER = (
    "nobody said whose memory this is: start `memstill mcp` with --user (or MEMSTILL_USER), "
    "or give it an API key that is bound to a user"
)


@dataclass(frozen=True, slots=True)
class Asking:
    """One user of memstill, and the client that acts for them."""

    client: AsyncMemstill
    user_id: str


class Desk(Protocol):
    """Knows for whom a call is made."""

    async def asking(self) -> Asking:
        """Of the present call.

        Raises:
            MemstillError: That cannot be known, or memstill is away.
            ConfigurationError: No memstill runs here.
        """
        ...

    async def look_again(self) -> None:
        """It was away, and may come back at another address."""
        ...


@dataclass(frozen=True, slots=True)
class Server:
    """Where memstill is: at an address, or running on a directory of this machine."""

    api_url: str | None
    data_dir: Path | None
    tenant_id: str | None

    def open(self, api_key: str | None = None) -> AsyncMemstill:
        """A client of it; without a key, with the one of the environment.

        Raises:
            ConfigurationError: Nothing runs on the directory; the message says how to start it.
        """
        url = self.api_url or read_endpoints(self.data_dir or default_data_dir()).api_url
        return AsyncMemstill(
            url, redis_url="", tenant_id=self.tenant_id, timeout=TIMEOUT_SECONDS, api_key=api_key
        )


class OneUser:
    """A ``Desk`` at which one user asks, as over standard input and output.

    Args:
        server: Where memstill is.
        user_id: None where the API key says it.
    """

    def __init__(self, server: Server, user_id: str | None) -> None:
        self._server = server
        self._user_id = user_id
        self._known: Asking | None = None

    async def asking(self) -> Asking:
        if self._known is None:
            client = self._server.open()
            try:
                user_id = self._user_id or (await client.caller()).user_id
            except MemstillError:
                await client.close()
                raise
            if user_id is None:
                await client.close()
                raise NotConfigured(NO_USER)
            self._known = Asking(client, user_id)
        return self._known

    async def look_again(self) -> None:
        known, self._known = self._known, None
        if known is not None:
            await known.client.close()


class EachRequest:
    """A ``Desk`` at which each request says for whom it is, as over HTTP."""

    def __init__(self) -> None:
        self.current: ContextVar[Asking] = ContextVar("asking")

    async def asking(self) -> Asking:
        return self.current.get()

    async def look_again(self) -> None:
        """Each request looks for itself."""
