"""The client for code that blocks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

from memstill_client import answers, calls
from memstill_client.endpoints import find_endpoints
from memstill_client.errors import InvalidTranscript, NotFound, Refused, Unavailable
from memstill_client.pushes import make_chunks, make_push
from memstill_client.replies import Status
from memstill_client.streams import Stream
from memstill_client.transports import Transport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
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


class Memstill:
    """Push transcripts and recall memories; one connection pool, safe to share by threads.

    What is not given comes from ``MEMSTILL_API_URL``, ``MEMSTILL_REDIS_URL``,
    ``MEMSTILL_TENANT``, ``MEMSTILL_KEY_PREFIX`` and ``MEMSTILL_API_KEY``; with neither address,
    from the memstill that runs on this machine.

    Args:
        redis_url: Where known, transcripts go over the Stream, otherwise over HTTP.
        timeout: Seconds for one try of one request; up to three tries are made.

    Raises:
        NotConfigured: No address is known, or one is none.
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
        self._http = Transport(self._endpoints, timeout)
        url = self._endpoints.redis_url
        self._stream = None if url is None else Stream(url, self._endpoints, timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; the client is of no use afterwards."""
        self._http.close()
        if self._stream is not None:
            self._stream.close()

    def enqueue(
        self,
        transcript: Pushable | None = None,
        /,
        *,
        lane: LaneName = "interactive",
        **fields: Unpack[TranscriptFields],
    ) -> Receipt:
        """Push one finished conversation, given as a whole or by its fields.

        Once it returns, the transcript ends as memories or as a dead letter with a reason.
        Pushing the same one again is harmless and answers with the same receipt. In the
        ``backfill`` lane it stands back for all others, and may be distilled in a cheaper batch.

        Raises:
            InvalidTranscript: It breaks the wire format; nothing was sent.
            Unavailable: Nobody took it; repeat the call later.
            Refused: The server will not take it.
        """
        push = make_push(transcript, fields, self._endpoints, lane)
        if self._stream is not None:
            return self._stream.push([push])[0]
        return answers.read_accepted(self._http.ask(calls.push_call(push)), push)

    def enqueue_many(
        self, transcripts: Iterable[Pushable], *, lane: LaneName = "interactive"
    ) -> list[Receipt]:
        """Push many, checked and sent in chunks; the receipts in their order.

        An error ends it, its field beginning with ``transcripts[position]``; the chunks before
        it were taken in, so correct that transcript and push all of them again.

        Raises:
            InvalidTranscript: One breaks the wire format.
            Unavailable: Nobody took them; repeat the call later.
            Refused: The server will not take one.
        """
        receipts: list[Receipt] = []
        for chunk in make_chunks(transcripts, self._endpoints, lane):
            receipts += self._push_chunk(chunk, len(receipts))
        return receipts

    def enqueue_each(
        self, transcripts: Iterable[Pushable], *, lane: LaneName = "interactive"
    ) -> Iterator[Receipt | InvalidTranscript | Refused]:
        """Push many in chunks; each is answered alone, with a receipt or its refusal.

        Raises:
            InvalidTranscript: One breaks the wire format; the chunks before it were taken in.
            Unavailable: Nobody took the rest; repeat the call later.
        """
        position = 0
        for chunk in make_chunks(transcripts, self._endpoints, lane):
            if self._stream is not None:
                yield from self._stream.push(chunk)
            else:
                reply = self._http.ask(calls.bulk_call(chunk, self._endpoints))
                yield from answers.read_lines(reply, chunk, position)
            position += len(chunk)

    def status(self, receipt: Receipt | UUID | str) -> Status:
        """Where a transcript stands.

        Raises:
            NotFound: This tenant has no such receipt; for some moments after a push over the
                Stream, until the intake has read it, that is so.
        """
        return self._http.ask(calls.status_call(receipt, self._endpoints))

    def states(
        self, receipts: Iterable[Receipt | UUID | str], tenant_id: str | None = None
    ) -> dict[str, int]:
        """How many of these receipts stand in each state; unknown ones as ``unknown``.

        Args:
            receipts: All of one tenant.
            tenant_id: That tenant, where it is another than the client's.
        """
        call = calls.states_call(receipts, tenant_id, self._endpoints)
        return self._http.ask(call).states

    def memory(self, memory_id: UUID | str) -> dict[str, Any]:
        """One memory in any state, with all that it rests on.

        Raises:
            NotFound: The tenant has no such memory.
        """
        return self._http.ask(calls.memory_call(memory_id, self._endpoints)).root

    def history(self, memory_id: UUID | str) -> dict[str, Any]:
        """What held before and after a memory, and what happened to it.

        Raises:
            NotFound: The tenant has no such memory.
        """
        call = calls.memory_call(memory_id, self._endpoints, "/history")
        return self._http.ask(call).root

    def restore(self, memory_id: UUID | str) -> dict[str, Any]:
        """Make a memory current again that was retired or merged wrongly.

        Raises:
            NotFound: The tenant has no such memory.
            Refused: It is current already.
        """
        call = calls.memory_call(memory_id, self._endpoints, ":restore", method="POST")
        return self._http.ask(call).root

    def memories(self, user_id: str | None = None) -> Iterator[dict[str, Any]]:
        """All memories of the tenant or of one user, superseded ones too, as plain JSON."""
        after: UUID | None = None
        while True:
            call = calls.memories_call(user_id, after, self._endpoints)
            page = self._http.ask(call)
            yield from page.memories
            after = page.next
            if after is None:
                return

    def promotions(self, state: str | None = None) -> Iterator[Promotion]:
        """What many users of the tenant say, and what was decided about it.

        Args:
            state: Only those; all but rejected and withdrawn ones if not given.
        """
        after: UUID | None = None
        while True:
            call = calls.promotions_call(state, after, self._endpoints)
            page = self._http.ask(call)
            yield from page.promotions
            after = page.next
            if after is None:
                return

    def scan_promotions(self) -> PromotionScan:
        """Propose what many users say now, and take back what they do not any more."""
        return self._http.ask(calls.scan_call(self._endpoints))

    def approve_promotion(self, promotion_id: UUID | str, by: str | None = None) -> Promotion:
        """Make it a memory of all users of the tenant; repeating it changes nothing.

        Args:
            promotion_id: As ``promotions`` names it.
            by: Who decides, for the record.

        Raises:
            NotFound: The tenant has no such promotion.
            Refused: Too few users say it by now.
        """
        call = calls.decision_call(promotion_id, "approve", by, self._endpoints)
        return self._http.ask(call)

    def reject_promotion(self, promotion_id: UUID | str, by: str | None = None) -> Promotion:
        """Never propose it again; one that was approved before is taken back.

        Raises:
            NotFound: The tenant has no such promotion.
        """
        call = calls.decision_call(promotion_id, "reject", by, self._endpoints)
        return self._http.ask(call)

    def cost(self, user_id: str | None = None, since: date | str | None = None) -> Cost:
        """What model calls have cost the tenant, or one user, and how the budgets stand.

        Args:
            user_id: All users if not given.
            since: A day in UTC, or ``YYYY-MM-DD``; the last seven days if not given.
        """
        return self._http.ask(calls.cost_call(user_id, since, self._endpoints))

    def batches(self) -> BatchPage:
        """The newest batches that hold sessions of the tenant."""
        return self._http.ask(calls.batches_call(self._endpoints))

    def poll_batches(self) -> BatchRun:
        """Hand in what waits for a batch and collect what is answered, now.

        Raises:
            Refused: The server does not use batches.
        """
        return self._http.ask(calls.poll_batches_call(self._endpoints))

    def redistill(
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
        return self._http.ask(call)

    def generation(self) -> Generation:
        """How far the open generation is.

        Raises:
            NotFound: None is open.
            Unavailable: The API does not answer.
        """
        return self._http.ask(calls.generation_call(self._endpoints))

    def generation_differences(self, user_id: str | None = None) -> Iterator[UserDifference]:
        """What the generation changes, user by user; or for one user.

        Raises:
            NotFound: None is open, or it has no such user.
            Unavailable: The API does not answer.
        """
        after: str | None = None
        while True:
            call = calls.differences_call(user_id, after, self._endpoints)
            page = self._http.ask(call)
            yield from page.users
            after = page.next
            if after is None:
                return

    def switch_generation(self) -> Generation:
        """Let the generation take the place of what is live, each user as soon as it is whole."""
        return self._http.ask(calls.generation_call(self._endpoints, "switch"))

    def back_out_generation(self) -> Generation:
        """Let what was live before take its place again; the generation is kept."""
        return self._http.ask(calls.generation_call(self._endpoints, "back-out"))

    def drop_generation(self) -> Generation:
        """Delete what is not live: the generation, or after a switch what was live before."""
        return self._http.ask(calls.generation_call(self._endpoints, "drop"))

    def wait(self, receipt: Receipt | UUID | str, timeout: float = 60.0) -> Status:
        """Ask until the transcript is done or a dead letter.

        Args:
            receipt: What ``enqueue`` returned, or its id.
            timeout: Seconds; overstepped by one request at most.

        Raises:
            NotFinished: Time is up and it is still on its road.
            NotFound: Time is up and the intake has not seen it.
            Unavailable: Time is up and nobody answers.
        """
        poll = calls.Poll(timeout, time.monotonic())
        while True:
            found = self._look(receipt)
            if isinstance(found, Status) and found.is_final:
                return found
            time.sleep(poll.delay_after(found, time.monotonic()))

    def recall(
        self,
        query: str,
        user_id: str,
        session_id: str | None = None,
        *,
        max_memories: int | None = None,
        max_tokens: int | None = None,
        as_of: date | str | None = None,
    ) -> Recall:
        """What is known of the user that helps with the query, as data and as prompt text.

        Args:
            query: What the next turn is about, in any words.
            user_id: Whose memories; nobody else's are ever answered.
            session_id: The running session, whose own memories then count too.
            max_memories: The server chooses if not given.
            max_tokens: Size of the block; the server chooses if not given.
            as_of: Answer with what held then, whatever superseded it since: a date, which is
                the end of that day in UTC, or a date and time, in UTC if it names no offset.

        Raises:
            Unavailable: Nobody answered; the agent can go on without a block.
            Refused: The server does not accept the arguments.
        """
        call = calls.recall_call(
            query,
            user_id,
            self._endpoints,
            session_id=session_id,
            max_memories=max_memories,
            max_tokens=max_tokens,
            as_of=as_of,
        )
        return self._http.ask(call)

    def inject(
        self,
        system_prompt: str,
        query: str,
        user_id: str,
        session_id: str | None = None,
        *,
        max_memories: int | None = None,
        max_tokens: int | None = None,
    ) -> str:
        """The system prompt with what is known below it; unchanged when nothing is known."""
        found = self.recall(
            query, user_id, session_id, max_memories=max_memories, max_tokens=max_tokens
        )
        return found.appended_to(system_prompt)

    def _push_chunk(self, chunk: Sequence[Push], first_position: int) -> list[Receipt]:
        if self._stream is not None:
            return self._stream.push(chunk)
        reply = self._http.ask(calls.bulk_call(chunk, self._endpoints))
        return answers.read_bulk(reply, chunk, first_position)

    def _look(self, receipt: Receipt | UUID | str) -> Status | NotFound | Unavailable:
        try:
            return self.status(receipt)
        except (NotFound, Unavailable) as error:
            return error
