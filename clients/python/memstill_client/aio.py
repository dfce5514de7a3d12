"""The client for asynchronous code: the same calls as ``Memstill``, to be awaited."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self, TypeVar

import httpx2
import redis.asyncio
from redis.asyncio.retry import Retry

from memstill_client import calls
from memstill_client.endpoints import find_endpoints
from memstill_client.errors import NotFound, Unavailable
from memstill_client.pushes import make_chunks, make_push
from memstill_client.replies import (
    Accepted,
    BatchPage,
    BatchRun,
    BulkReply,
    Cost,
    Document,
    MemoryPage,
    Promotion,
    PromotionPage,
    PromotionScan,
    Recall,
    Receipt,
    Reply,
    States,
    Status,
)
from memstill_client.streams import (
    RETRIES,
    redis_errors,
    retry_backoff,
    stream_fields,
    stream_receipt,
)
from memstill_client.wire import stream_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from datetime import date
    from typing import Unpack
    from uuid import UUID

    from memstill_client.endpoints import Endpoints
    from memstill_client.pushes import Push, Pushable, TranscriptFields
    from memstill_client.wire import LaneName

R = TypeVar("R", bound=Reply)


class AsyncMemstill:
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
    ) -> None:
        self._endpoints = find_endpoints(
            api_url=api_url,
            redis_url=redis_url,
            tenant_id=tenant_id,
            key_prefix=key_prefix,
            api_key=api_key,
        )
        self._http = httpx2.AsyncClient(timeout=timeout, verify=calls.make_tls(self._endpoints))
        url = self._endpoints.redis_url
        self._stream = None if url is None else _Stream(url, self._endpoints, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the client is of no use afterwards."""
        await self._http.aclose()
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
        return calls.read_accepted(await self._call(calls.push_call(push), Accepted), push)

    async def enqueue_many(
        self, transcripts: Iterable[Pushable], *, lane: LaneName = "interactive"
    ) -> list[Receipt]:
        """See ``Memstill.enqueue_many``."""
        receipts: list[Receipt] = []
        for chunk in make_chunks(transcripts, self._endpoints, lane):
            receipts += await self._push_chunk(chunk, len(receipts))
        return receipts

    async def status(self, receipt: Receipt | UUID | str) -> Status:
        """See ``Memstill.status``."""
        return await self._call(calls.status_call(receipt, self._endpoints), Status)

    async def states(
        self, receipts: Iterable[Receipt | UUID | str], tenant_id: str | None = None
    ) -> dict[str, int]:
        """See ``Memstill.states``."""
        call = calls.states_call(receipts, tenant_id, self._endpoints)
        return (await self._call(call, States)).states

    async def memory(self, memory_id: UUID | str) -> dict[str, Any]:
        """See ``Memstill.memory``."""
        return (await self._call(calls.memory_call(memory_id, self._endpoints), Document)).root

    async def history(self, memory_id: UUID | str) -> dict[str, Any]:
        """See ``Memstill.history``."""
        call = calls.memory_call(memory_id, self._endpoints, "/history")
        return (await self._call(call, Document)).root

    async def restore(self, memory_id: UUID | str) -> dict[str, Any]:
        """See ``Memstill.restore``."""
        call = calls.memory_call(memory_id, self._endpoints, ":restore", method="POST")
        return (await self._call(call, Document)).root

    async def memories(self, user_id: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """See ``Memstill.memories``."""
        after: UUID | None = None
        while True:
            call = calls.memories_call(user_id, after, self._endpoints)
            page = await self._call(call, MemoryPage)
            for memory in page.memories:
                yield memory
            after = page.next
            if after is None:
                return

    async def promotions(self, state: str | None = None) -> AsyncIterator[Promotion]:
        """See ``Memstill.promotions``."""
        after: UUID | None = None
        while True:
            call = calls.promotions_call(state, after, self._endpoints)
            page = await self._call(call, PromotionPage)
            for promotion in page.promotions:
                yield promotion
            after = page.next
            if after is None:
                return

    async def scan_promotions(self) -> PromotionScan:
        """See ``Memstill.scan_promotions``."""
        return await self._call(calls.scan_call(self._endpoints), PromotionScan)

    async def approve_promotion(self, promotion_id: UUID | str, by: str | None = None) -> Promotion:
        """See ``Memstill.approve_promotion``."""
        call = calls.decision_call(promotion_id, "approve", by, self._endpoints)
        return await self._call(call, Promotion)

    async def reject_promotion(self, promotion_id: UUID | str, by: str | None = None) -> Promotion:
        """See ``Memstill.reject_promotion``."""
        call = calls.decision_call(promotion_id, "reject", by, self._endpoints)
        return await self._call(call, Promotion)

    async def cost(self, user_id: str | None = None, since: date | str | None = None) -> Cost:
        """See ``Memstill.cost``."""
        return await self._call(calls.cost_call(user_id, since, self._endpoints), Cost)

    async def batches(self) -> BatchPage:
        """See ``Memstill.batches``."""
        return await self._call(calls.batches_call(self._endpoints), BatchPage)

    async def poll_batches(self) -> BatchRun:
        """See ``Memstill.poll_batches``."""
        return await self._call(calls.poll_batches_call(self._endpoints), BatchRun)

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
        )
        return await self._call(call, Recall)

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

    async def _push_chunk(self, chunk: Sequence[Push], first_position: int) -> list[Receipt]:
        if self._stream is not None:
            return await self._stream.push(chunk)
        reply = await self._call(calls.bulk_call(chunk, self._endpoints), BulkReply)
        return calls.read_bulk(reply, chunk, first_position)

    async def _look(self, receipt: Receipt | UUID | str) -> Status | NotFound | Unavailable:
        try:
            return await self.status(receipt)
        except (NotFound, Unavailable) as error:
            return error

    async def _call(self, call: calls.Call, model: type[R]) -> R:
        tries = 0
        while True:
            tries += 1
            try:
                return await self._try(call, model)
            except Unavailable as failure:
                delay = calls.retry_delay(tries, failure)
            await asyncio.sleep(delay)

    async def _try(self, call: calls.Call, model: type[R]) -> R:
        url = calls.make_url(call, self._endpoints)
        headers = calls.make_headers(call, self._endpoints)
        try:
            reply = await self._http.request(
                call.method, url, content=call.content, headers=headers
            )
        except httpx2.RequestError as error:
            raise calls.unreachable(error, self._endpoints) from error
        return calls.read_reply(model, reply.status_code, reply.headers, reply.content)


class _Stream:
    """The intake Stream of one Redis."""

    def __init__(self, url: str, endpoints: Endpoints, timeout: float) -> None:
        self._url = url
        self._key = stream_key(endpoints.key_prefix)
        self._redis = redis.asyncio.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            retry=Retry(retry_backoff(), RETRIES),
        )

    async def push(self, pushes: Sequence[Push]) -> list[Receipt]:
        """Append in one round trip; a repeated entry is dropped at the intake."""
        receipts = [stream_receipt(push) for push in pushes]
        with redis_errors(self._url, self._key):
            async with self._redis.pipeline(transaction=False) as pipe:
                for push in pushes:
                    pipe.xadd(self._key, stream_fields(push))
                await pipe.execute()
        return receipts

    async def close(self) -> None:
        await self._redis.aclose()
