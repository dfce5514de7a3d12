"""The client for asynchronous code: the same calls as ``Memstill``, to be awaited."""

from __future__ import annotations

import asyncio
import copy
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from memstill_client import answers, calls
from memstill_client.aio_operations import AsyncOperations
from memstill_client.checkpoints import AsyncCheckpoints
from memstill_client.endpoints import find_endpoints
from memstill_client.errors import NotFound, Unavailable
from memstill_client.pushes import make_chunks, make_push
from memstill_client.queues import AsyncQueue
from memstill_client.replies import Status
from memstill_client.sessions import AsyncRunningSessions
from memstill_client.streams import AsyncStream
from memstill_client.transports import AsyncTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from datetime import date
    from typing import Unpack
    from uuid import UUID

    from memstill_client.errors import InvalidTranscript, Refused
    from memstill_client.pushes import Push, Pushable, TranscriptFields
    from memstill_client.recalls import Recall
    from memstill_client.replies import ApiCaller, Receipt
    from memstill_client.wire import LaneName


class AsyncMemstill(AsyncOperations, AsyncRunningSessions):
    """``Memstill`` for asynchronous code: arguments, results and errors are the same.

    One connection pool, which belongs to the event loop that used it first.
    """

    def __init__(
        self,
        api_url: str | None = None,
        redis_url: str | None = None,
        *,
        tenant_id: str | None = None,
        key_prefix: str | None = None,
        timeout: float = 10.0,
        api_key: str | None = None,
        max_waiting: int | None = None,
        broker_url: str | None = None,
    ) -> None:
        self._endpoints = find_endpoints(
            api_url=api_url,
            redis_url=redis_url,
            tenant_id=tenant_id,
            key_prefix=key_prefix,
            api_key=api_key,
            max_waiting=max_waiting,
            broker_url=broker_url,
        )
        self._http = AsyncTransport(self._endpoints, timeout)
        self.checkpoints = AsyncCheckpoints(self._http, self._endpoints)
        self._stream = self._open_intake(timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _open_intake(self, timeout: float) -> AsyncStream | AsyncQueue | None:
        found = self._endpoints
        if found.broker_url is not None:
            return AsyncQueue(found.broker_url, found, timeout)
        return None if found.redis_url is None else AsyncStream(found.redis_url, found, timeout)

    async def close(self) -> None:
        """Close the connections; the client is of no use afterwards."""
        await self._http.close()
        if self._stream is not None:
            await self._stream.close()

    async def enqueue(
        self,
        transcript: Pushable | None = None,
        /,
        *,
        lane: LaneName = "interactive",
        **fields: Unpack[TranscriptFields],
    ) -> Receipt:
        """See ``Memstill.enqueue``."""
        push = make_push(transcript, fields, self._endpoints, lane)
        if self._stream is not None:
            return (await self._stream.push([push]))[0]
        return answers.read_accepted(await self._http.ask(calls.push_call(push)), push)

    async def enqueue_many(
        self, transcripts: Iterable[Pushable], *, lane: LaneName = "interactive"
    ) -> list[Receipt]:
        """See ``Memstill.enqueue_many``."""
        receipts: list[Receipt] = []
        for chunk in make_chunks(transcripts, self._endpoints, lane):
            receipts += await self._push_chunk(chunk, len(receipts))
        return receipts

    async def enqueue_each(
        self, transcripts: Iterable[Pushable], *, lane: LaneName = "interactive"
    ) -> AsyncIterator[Receipt | InvalidTranscript | Refused]:
        """See ``Memstill.enqueue_each``."""
        position = 0
        for chunk in make_chunks(transcripts, self._endpoints, lane):
            if self._stream is not None:
                found: Sequence[Receipt | InvalidTranscript | Refused] = await self._stream.push(
                    chunk
                )
            else:
                reply = await self._http.ask(calls.bulk_call(chunk, self._endpoints))
                found = answers.read_lines(reply, chunk, position)
            for each in found:
                yield each
            position += len(chunk)

    def with_key(self, api_key: str) -> Self:
        """See ``Memstill.with_key``."""
        other = copy.copy(self)
        other._act_with(api_key)  # noqa: SLF001 - its own kind
        return other

    async def caller(self) -> ApiCaller:
        """See ``Memstill.caller``."""
        return await self._http.ask(calls.caller_call(self._endpoints))

    async def status(self, receipt: Receipt | UUID | str) -> Status:
        """See ``Memstill.status``."""
        return await self._http.ask(calls.status_call(receipt, self._endpoints))

    async def states(
        self, receipts: Iterable[Receipt | UUID | str], tenant_id: str | None = None
    ) -> dict[str, int]:
        """See ``Memstill.states``."""
        call = calls.states_call(receipts, tenant_id, self._endpoints)
        return (await self._http.ask(call)).states

    async def wait(
        self,
        receipt: Receipt | UUID | str,
        timeout: float = 60.0,  # noqa: ASYNC109 - how long the transcript may take, not this call
    ) -> Status:
        """See ``Memstill.wait``."""
        poll = calls.Poll(timeout, time.monotonic())
        while True:
            found = await self._look(receipt)
            if isinstance(found, Status) and found.is_final:
                return found
            await asyncio.sleep(poll.delay_after(found, time.monotonic()))

    async def recall(
        self,
        query: str,
        user_id: str,
        session_id: str | None = None,
        *,
        max_memories: int | None = None,
        max_tokens: int | None = None,
        as_of: date | str | None = None,
        tiers: Iterable[str] | None = None,
    ) -> Recall:
        """See ``Memstill.recall``."""
        call = calls.recall_call(
            query,
            user_id,
            self._endpoints,
            session_id=session_id,
            max_memories=max_memories,
            max_tokens=max_tokens,
            as_of=as_of,
            tiers=tiers,
        )
        return await self._http.ask(call)

    async def inject(
        self,
        system_prompt: str,
        query: str,
        user_id: str,
        session_id: str | None = None,
        *,
        max_memories: int | None = None,
        max_tokens: int | None = None,
    ) -> str:
        """See ``Memstill.inject``."""
        found = await self.recall(
            query, user_id, session_id, max_memories=max_memories, max_tokens=max_tokens
        )
        return found.appended_to(system_prompt)

    def _act_with(self, api_key: str) -> None:
        self._endpoints = replace(self._endpoints, api_key=api_key or None)
        self._http = self._http.acting_as(self._endpoints)
        self.checkpoints = AsyncCheckpoints(self._http, self._endpoints)

    async def _push_chunk(self, chunk: Sequence[Push], first_position: int) -> list[Receipt]:
        if self._stream is not None:
            return await self._stream.push(chunk)
        reply = await self._http.ask(calls.bulk_call(chunk, self._endpoints))
        return answers.read_bulk(reply, chunk, first_position)

    async def _look(self, receipt: Receipt | UUID | str) -> Status | NotFound | Unavailable:
        try:
            return await self.status(receipt)
        except (NotFound, Unavailable) as error:
            return error
