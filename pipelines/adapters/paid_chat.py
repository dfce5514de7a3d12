"""Paying a chat model for each question once, and repairing answers that cannot be used."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

import structlog

from pipelines.errors import BadReply, MemstillError
from pipelines.stages.cost import Usage

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.ports import ChatModel, ChatReply, ChatRequest, PaidFor, ReplyStore

log = structlog.get_logger(__name__)
Answer = TypeVar("Answer")


class PaidChat:
    """A chat model whose replies are stored before they are parsed: a crash never pays twice.

    A call is made only if the budgets have room for it, and is booked with its reply.
    """

    def __init__(self, chat: ChatModel, replies: ReplyStore, max_repairs: int) -> None:
        self._chat = chat
        self._replies = replies
        self._max_repairs = max_repairs

    def ask(
        self,
        request: ChatRequest,
        paid_for: PaidFor,
        parse: Callable[[str], Answer],
        *,
        was_asked: bool = True,
    ) -> Answer:
        """Ask, and ask again with what was wrong; the last problem is raised.

        Args:
            request: What is asked.
            paid_for: For whom, and about what.
            parse: Makes something of the answer, or raises what is wrong with it.
            was_asked: False where no reply about the same can be stored: none is looked for.

        Raises:
            ModelUnavailable, ModelRefused, BadReply: As ``ChatModel.complete``; ``BadReply``
                also when ``parse`` still raises it after the last repair.
            BudgetExceeded: A hard budget has no room for the next call; what was answered
                until then is kept, so that asking again later goes on from there.
        """
        for _ in range(self._max_repairs):
            answer = ""
            try:
                answer = self._reply_to(request, paid_for, was_asked=was_asked).text
                return parse(answer)
            except BadReply as error:
                log.warning("reply_rejected", purpose=paid_for.purpose.value, problem=error.problem)
                request = replace(request, earlier=(*request.earlier, (answer, error.problem)))
        return parse(self._reply_to(request, paid_for, was_asked=was_asked).text)

    def _reply_to(self, request: ChatRequest, paid_for: PaidFor, *, was_asked: bool) -> ChatReply:
        """The stored reply, or a new one that is stored before anything else happens."""
        key = request_hash(self._chat.name, request, paid_for)
        stored = self._replies.find_reply(key) if was_asked else None
        if stored is not None:
            return stored

        def look_again() -> None:
            """Who was frozen between two tries may find that another worker has asked."""
            found = self._replies.find_reply(key)
            if found is not None:
                raise _AnsweredMeanwhile(found)

        ledger = self._replies.ledger
        hold = ledger.reserve(self._chat.name, request_size(request), paid_for)
        try:
            reply = self._chat.complete(request, look_again)
        except _AnsweredMeanwhile as answered:
            ledger.release(hold)
            return answered.reply
        except BadReply as error:
            usage = Usage(error.prompt_tokens, error.completion_tokens)
            ledger.book_lost(hold, usage, paid_for)
            raise
        except MemstillError:
            ledger.release(hold)
            raise
        self._replies.keep_reply(key, reply, paid_for, hold)
        return reply


class _AnsweredMeanwhile(Exception):
    def __init__(self, reply: ChatReply) -> None:
        super().__init__("another worker has asked")
        self.reply = reply


def request_size(request: ChatRequest) -> int:
    """UTF-8 bytes of all that the model reads."""
    asked = (request.system, request.user, json.dumps(request.schema))
    again = (text for pair in request.earlier for text in pair)
    return sum(len(text.encode("utf-8", "replace")) for text in (*asked, *again))


def request_hash(model: str, request: ChatRequest, paid_for: PaidFor) -> str:
    """Name a request by all that its answer depends on, and by its owner.

    Two users who said the same words do not share a reply: it is erased with its transcript.
    """
    parts = [
        *paid_for.owner.names,
        model,
        request.system,
        request.user,
        request.schema_name,
        request.schema,
        request.earlier,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
