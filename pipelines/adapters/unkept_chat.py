"""Paying a chat model for an answer that is not kept in the database.

What a running session says lives in Redis for hours; a stored reply to it would outlive it. So a
crash between the answer and its use pays once more, and never twice for what was used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.adapters.paid_chat import request_size
from pipelines.errors import BadReply, MemstillError
from pipelines.stages.cost import Usage

if TYPE_CHECKING:
    from pipelines.ports import ChatModel, ChatRequest, Ledger, PaidFor


class UnkeptChat:
    """A chat model whose calls are held to the budgets and booked, and not remembered."""

    def __init__(self, chat: ChatModel, ledger: Ledger) -> None:
        self._chat = chat
        self._ledger = ledger

    @property
    def name(self) -> str:
        """The model asked for."""
        return self._chat.name

    def ask(self, request: ChatRequest, paid_for: PaidFor) -> str:
        """Ask once.

        Raises:
            ModelUnavailable, ModelRefused, BadReply: As ``ChatModel.complete``.
            BudgetExceeded: A hard budget has no room for the call.
        """
        hold = self._ledger.reserve(self._chat.name, request_size(request), paid_for)
        try:
            reply = self._chat.complete(request)
        except BadReply as error:
            usage = Usage(error.prompt_tokens, error.completion_tokens)
            self._ledger.book_lost(hold, usage, paid_for)
            raise
        except MemstillError:
            self._ledger.release(hold)
            raise
        self._ledger.book_lost(hold, Usage(reply.prompt_tokens, reply.completion_tokens), paid_for)
        return reply.text
