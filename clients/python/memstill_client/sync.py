"""The client for code that blocks."""

from __future__ import annotations

import copy
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from memstill_client import answers, calls
from memstill_client.checkpoints import Checkpoints
from memstill_client.endpoints import find_endpoints
from memstill_client.errors import InvalidTranscript, NotFound, Refused, Unavailable
from memstill_client.operations import Operations
from memstill_client.pushes import make_chunks, make_push
from memstill_client.queues import Queue
from memstill_client.replies import Status
from memstill_client.sessions import RunningSessions
from memstill_client.streams import Stream
from memstill_client.transports import Transport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import date
    from typing import Unpack
    from uuid import UUID

    from memstill_client.pushes import Push, Pushable, TranscriptFields
    from memstill_client.recalls import Recall
    from memstill_client.replies import ApiCaller, Receipt
    from memstill_client.wire import LaneName


class Memstill(Operations, RunningSessions):
    """Push transcripts and recall memories; one connection pool, safe to share by threads.

    What is not given comes from ``MEMSTILL_API_URL``, ``MEMSTILL_REDIS_URL``,
    ``MEMSTILL_BROKER_URL``, ``MEMSTILL_TENANT``, ``MEMSTILL_KEY_PREFIX`` and
    ``MEMSTILL_API_KEY``; with no address, from the memstill that runs on this machine.

    Args:
        redis_url: Where known, transcripts go over the Stream, otherwise over HTTP.
        timeout: Seconds for one try of one request; up to three tries are made.
        max_waiting: Nothing is pushed over the Stream while so many transcripts wait in it;
            ``MEMSTILL_MAX_WAITING``, else 100,000.
        broker_url: A RabbitMQ that transcripts go over instead of the Stream.

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
        self._http = Transport(self._endpoints, timeout)
        self.checkpoints = Checkpoints(self._http, self._endpoints)
        self._stream = self._open_intake(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_intake(self, timeout: float) -> Stream | Queue | None:
        found = self._endpoints
        if found.broker_url is not None:
            return Queue(found.broker_url, found, timeout)
        return None if found.redis_url is None else Stream(found.redis_url, found, timeout)

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
            Unavailable: Nobody took it; repeat the call later. ``Busy``: too much waits.
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

    def with_key(self, api_key: str) -> Self:
        """The same client with another API key, as a server needs that acts for many.

        Both share their connections, and are closed together.
        """
        other = copy.copy(self)
        other._act_with(api_key)  # noqa: SLF001 - its own kind
        return other

    def caller(self) -> ApiCaller:
        """Whose tenant, which user and what scopes the API key stands for.

        Raises:
            Refused: The key opens nothing.
        """
        return self._http.ask(calls.caller_call(self._endpoints))

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
        tiers: Iterable[str] | None = None,
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
            tiers: Of ``memories``, ``procedures``, ``episodes`` and ``working``; all if not given.

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
            tiers=tiers,
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

    def _act_with(self, api_key: str) -> None:
        self._endpoints = replace(self._endpoints, api_key=api_key or None)
        self._http = self._http.acting_as(self._endpoints)
        self.checkpoints = Checkpoints(self._http, self._endpoints)

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
