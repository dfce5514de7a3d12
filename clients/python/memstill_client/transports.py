"""HTTP calls on a connection, tried again where that may help: one class for each kind of code."""

from __future__ import annotations

import asyncio
import copy
import time
from typing import TYPE_CHECKING, TypeVar

import httpx2

from memstill_client import answers, calls
from memstill_client.errors import Unavailable
from memstill_client.replies import Reply

if TYPE_CHECKING:
    from memstill_client.endpoints import Endpoints

R = TypeVar("R", bound=Reply)


class Transport:
    """A pool of connections to the API.

    Args:
        timeout: Seconds for one try of one call.
    """

    def __init__(self, endpoints: Endpoints, timeout: float) -> None:
        self._endpoints = endpoints
        self._http = httpx2.Client(timeout=timeout, verify=calls.make_tls(endpoints))

    def ask(self, call: calls.Call[R]) -> R:
        """Make a call, up to three times, and read its answer; raises what the answer says."""
        tries = 0
        while True:
            tries += 1
            try:
                return self._try(call)
            except Unavailable as failure:
                delay = calls.retry_delay(tries, failure)
            time.sleep(delay)

    def _try(self, call: calls.Call[R]) -> R:
        url = calls.make_url(call, self._endpoints)
        headers = calls.make_headers(call, self._endpoints)
        try:
            reply = self._http.request(call.method, url, content=call.content, headers=headers)
        except httpx2.RequestError as error:
            raise answers.unreachable(error, self._endpoints) from error
        return answers.read_reply(call.reply, reply.status_code, reply.headers, reply.content)

    def acting_as(self, endpoints: Endpoints) -> Transport:
        """The same connections, for somebody else."""
        other = copy.copy(self)
        other._endpoints = endpoints  # noqa: SLF001 - its own kind
        return other

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


class AsyncTransport:
    """``Transport``, to be awaited."""

    def __init__(self, endpoints: Endpoints, timeout: float) -> None:
        self._endpoints = endpoints
        self._http = httpx2.AsyncClient(timeout=timeout, verify=calls.make_tls(endpoints))

    async def ask(self, call: calls.Call[R]) -> R:
        """See ``Transport.ask``."""
        tries = 0
        while True:
            tries += 1
            try:
                return await self._try(call)
            except Unavailable as failure:
                delay = calls.retry_delay(tries, failure)
            await asyncio.sleep(delay)

    async def _try(self, call: calls.Call[R]) -> R:
        url = calls.make_url(call, self._endpoints)
        headers = calls.make_headers(call, self._endpoints)
        try:
            reply = await self._http.request(
                call.method, url, content=call.content, headers=headers
            )
        except httpx2.RequestError as error:
            raise answers.unreachable(error, self._endpoints) from error
        return answers.read_reply(call.reply, reply.status_code, reply.headers, reply.content)

    def acting_as(self, endpoints: Endpoints) -> AsyncTransport:
        """See ``Transport.acting_as``."""
        other = copy.copy(self)
        other._endpoints = endpoints  # noqa: SLF001 - its own kind
        return other

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()
