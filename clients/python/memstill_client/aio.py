"""The client for asynchronous code: the same calls as ``Memstill``, to be awaited."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Self

from memstill_client import answers, calls
from memstill_client.endpoints import find_endpoints
from memstill_client.errors import NotFound, Unavailable
from memstill_client.pushes import make_chunks, make_push
from memstill_client.replies import Status
from memstill_client.streams import AsyncStream
from memstill_client.transports import AsyncTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence
    from datetime import date
    from typing import Unpack
    from uuid import UUID

    from memstill_client.pushes import Push, Pushable, TranscriptFields
    from memstill_client.replies import (
        BatchPage,
        BatchRun,
        Cost,
        Generation,
        Promotion,
        PromotionScan,
        Recall,
        Receipt,
        UserDifference,
    )
    from memstill_client.wire import LaneName


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
        self._http = AsyncTransport(self._endpoints, timeout)
        url = self._endpoints.redis_url
        self._stream = None if url is None else AsyncStream(url, self._endpoints, timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

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

    async def status(self, receipt: Receipt | UUID | str) -> Status:
        """See ``Memstill.status``."""
        return await self._http.ask(calls.status_call(receipt, self._endpoints))

    async def states(
        self, receipts: Iterable[Receipt | UUID | str], tenant_id: str | None = None
    ) -> dict[str, int]:
        """See ``Memstill.states``."""
        call = calls.states_call(receipts, tenant_id, self._endpoints)
        return (await self._http.ask(call)).states

    async def memory(self, memory_id: UUID | str) -> dict[str, Any]:
        """See ``Memstill.memory``."""
        return (await self._http.ask(calls.memory_call(memory_id, self._endpoints))).root

    async def history(self, memory_id: UUID | str) -> dict[str, Any]:
        """See ``Memstill.history``."""
        call = calls.memory_call(memory_id, self._endpoints, "/history")
        return (await self._http.ask(call)).root

    async def restore(self, memory_id: UUID | str) -> dict[str, Any]:
        """See ``Memstill.restore``."""
        call = calls.memory_call(memory_id, self._endpoints, ":restore", method="POST")
        return (await self._http.ask(call)).root

    async def memories(self, user_id: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """See ``Memstill.memories``."""
        after: UUID | None = None
        while True:
            call = calls.memories_call(user_id, after, self._endpoints)
            page = await self._http.ask(call)
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
            page = await self._http.ask(call)
            for promotion in page.promotions:
                yield promotion
            after = page.next
            if after is None:
                return

    async def scan_promotions(self) -> PromotionScan:
        """See ``Memstill.scan_promotions``."""
        return await self._http.ask(calls.scan_call(self._endpoints))

    async def approve_promotion(self, promotion_id: UUID | str, by: str | None = None) -> Promotion:
        """See ``Memstill.approve_promotion``."""
        call = calls.decision_call(promotion_id, "approve", by, self._endpoints)
        return await self._http.ask(call)

    async def reject_promotion(self, promotion_id: UUID | str, by: str | None = None) -> Promotion:
        """See ``Memstill.reject_promotion``."""
        call = calls.decision_call(promotion_id, "reject", by, self._endpoints)
        return await self._http.ask(call)

    async def cost(self, user_id: str | None = None, since: date | str | None = None) -> Cost:
        """See ``Memstill.cost``."""
        return await self._http.ask(calls.cost_call(user_id, since, self._endpoints))

    async def batches(self) -> BatchPage:
        """See ``Memstill.batches``."""
        return await self._http.ask(calls.batches_call(self._endpoints))

    async def poll_batches(self) -> BatchRun:
        """See ``Memstill.poll_batches``."""
        return await self._http.ask(calls.poll_batches_call(self._endpoints))

    async def redistill(
        self,
        since: date | str,
        *,
        user_id: str | None = None,
        distiller: str | None = None,
        model: str | None = None,
        prompt: str | None = None,
    ) -> Generation:
        """Have sessions distilled again into a shadow generation; nothing live changes.

        Args:
            since: Sessions that ended from the start of this day (UTC), or from this time on.
            user_id: Only this user's.
            distiller: ``offline`` or ``model``; as for live sessions if left out.
            model: Its name at the endpoint.
            prompt: Its version: ``v1``.

        Raises:
            Refused: A generation is open already, or the parts do not fit together.
            Unavailable: The API does not answer.
        """
        call = calls.redistill_call(
            since, self._endpoints, user_id=user_id, distiller=distiller, model=model, prompt=prompt
        )
        return await self._http.ask(call)

    async def generation(self) -> Generation:
        """How far the open generation is.

        Raises:
            NotFound: None is open.
            Unavailable: The API does not answer.
        """
        return await self._http.ask(calls.generation_call(self._endpoints))

    async def generation_differences(
        self, user_id: str | None = None
    ) -> AsyncIterator[UserDifference]:
        """What the generation changes, user by user; or for one user.

        Raises:
            NotFound: None is open, or it has no such user.
            Unavailable: The API does not answer.
        """
        after: str | None = None
        while True:
            call = calls.differences_call(user_id, after, self._endpoints)
            page = await self._http.ask(call)
            for item in page.users:
                yield item
            after = page.next
            if after is None:
                return

    async def switch_generation(self) -> Generation:
        """Let the generation take the place of what is live, each user as soon as it is whole."""
        return await self._http.ask(calls.generation_call(self._endpoints, "switch"))

    async def back_out_generation(self) -> Generation:
        """Let what was live before take its place again; the generation is kept."""
        return await self._http.ask(calls.generation_call(self._endpoints, "back-out"))

    async def drop_generation(self) -> Generation:
        """Delete what is not live: the generation, or after a switch what was live before."""
        return await self._http.ask(calls.generation_call(self._endpoints, "drop"))

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
