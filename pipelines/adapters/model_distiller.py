"""``Distiller`` that asks a chat model, pays for each question once and repairs bad answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.adapters.paid_chat import PaidChat, request_hash, request_size
from pipelines.errors import BadReply
from pipelines.ports import ChatRequest, PaidFor, PreparedRequest, Purpose, go_on
from pipelines.stages.reply import SCHEMA, SCHEMA_NAME, parse_reply
from pipelines.stages.windows import cut_windows, join_window, render_window, select_company

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from config.policy import DistillPolicy
    from pipelines.adapters.prompts import Prompt
    from pipelines.model import Draft, Owner, ReceiptId, Transcript
    from pipelines.ports import ChatModel, ChatReply, ReplyStore
    from pipelines.stages.windows import Window


class ModelDistiller:
    """One model call for several short transcripts, or for each window of a longer one.

    A stored reply stands in for its call. The calls of a generation go on the account of the
    user for whom it is made.
    """

    def __init__(
        self, chat: ChatModel, replies: ReplyStore, prompt: Prompt, policy: DistillPolicy
    ) -> None:
        self._chat = chat
        self._replies = replies
        self._policy = policy
        self._prompt = prompt

    @property
    def version(self) -> str:
        return self._prompt.version

    @property
    def is_selective(self) -> bool:
        return True

    @property
    def max_company(self) -> int:
        return self._policy.max_sessions - 1

    def select_company(self, lead: Transcript, waiting: Sequence[Transcript]) -> list[Transcript]:
        return select_company(lead, waiting, self._policy)

    def find_companies(
        self, owner: Owner, receipts: Collection[ReceiptId]
    ) -> dict[ReceiptId, tuple[ReceiptId, ...]]:
        return self._replies.find_companies(owner.live, receipts)

    def list_requests(self, transcripts: Sequence[Transcript]) -> list[PreparedRequest]:
        together = join_window(transcripts, self._policy) if len(transcripts) > 1 else None
        if together is not None:
            return [self._prepare(together, transcripts)]
        return [
            self._prepare(window, [transcript])
            for transcript in transcripts
            for window in cut_windows(transcript, self._policy)
        ]

    def _prepare(self, window: Window, transcripts: Sequence[Transcript]) -> PreparedRequest:
        request, paid_for = self._make_request(window, transcripts)
        key = request_hash(self._chat.name, request, paid_for)
        return PreparedRequest(key, request, paid_for, request_size(request))

    def _make_request(
        self, window: Window, transcripts: Sequence[Transcript], series: int = 1
    ) -> tuple[ChatRequest, PaidFor]:
        text, receipts = render_window(window), tuple(item.id for item in transcripts)
        request = ChatRequest(self._prompt.text, text, _name_schema(series), SCHEMA)
        return request, PaidFor(transcripts[0].owner.live, Purpose.DISTILL, receipts)

    def distill(
        self,
        transcripts: Sequence[Transcript],
        keep_alive: Callable[[], None],
        *,
        was_asked: bool = True,
    ) -> list[list[Draft]]:
        together = join_window(transcripts, self._policy) if len(transcripts) > 1 else None
        if together is not None:
            drafts = self._distill_window(together, transcripts, was_asked=was_asked)
        else:
            drafts = self._distill_each(transcripts, keep_alive, was_asked=was_asked)
        return [
            _tidy(found, transcript) for found, transcript in zip(drafts, transcripts, strict=True)
        ]

    def _distill_each(
        self,
        transcripts: Sequence[Transcript],
        keep_alive: Callable[[], None],
        *,
        was_asked: bool,
    ) -> list[list[Draft]]:
        drafts: list[list[Draft]] = [[] for _ in transcripts]
        is_first = True
        for found, transcript in zip(drafts, transcripts, strict=True):
            for window in cut_windows(transcript, self._policy):
                if not is_first:
                    keep_alive()
                is_first = False
                found.extend(self._distill_window(window, [transcript], was_asked=was_asked)[0])
        return drafts

    def _distill_window(
        self, window: Window, transcripts: Sequence[Transcript], *, was_asked: bool
    ) -> list[list[Draft]]:
        """Ask, and where all that was ever answered to this is stored and useless, ask anew.

        Each attempt of a transcript so buys one answer and its repairs at most for each window,
        and the retry table bounds the attempts.
        """
        chat = _CountingChat(self._chat)
        paid_chat = PaidChat(chat, self._replies, self._policy.max_repairs)
        series = 1
        while True:
            request, paid_for = self._make_request(window, transcripts, series)
            try:
                return paid_chat.ask(
                    request,
                    paid_for,
                    lambda it: parse_reply(it, transcripts),
                    was_asked=was_asked or series > 1,
                )
            except BadReply:
                # A shared request is not repeated: each of its transcripts is asked for alone.
                if chat.calls or len(transcripts) > 1:
                    raise
                series += 1


class _CountingChat:
    """A chat model that counts its calls: none means that all answers came from the store."""

    def __init__(self, chat: ChatModel) -> None:
        self._chat = chat
        self.calls = 0

    @property
    def name(self) -> str:
        return self._chat.name

    def complete(self, request: ChatRequest, before_retry: Callable[[], None] = go_on) -> ChatReply:
        self.calls += 1
        return self._chat.complete(request, before_retry)


def _name_schema(series: int) -> str:
    """A name of its own makes it another request, also to an endpoint that caches answers."""
    return SCHEMA_NAME if series == 1 else f"{SCHEMA_NAME}_{series}"


def _tidy(drafts: Iterable[Draft], transcript: Transcript) -> list[Draft]:
    return _in_message_order(_without_repetitions(drafts), transcript)


def _without_repetitions(drafts: Iterable[Draft]) -> list[Draft]:
    """What windows that overlap found twice stays once, as it was found first.

    With another quote it stays too: grounding tells which of them stands in its message, and
    makes one fact of those that do.
    """
    first: dict[tuple[object, ...], Draft] = {}
    for draft in drafts:
        said = (draft.subject.casefold(), draft.statement.casefold())
        first.setdefault((*said, draft.quote, draft.message_ids), draft)
    return list(first.values())


def _in_message_order(drafts: list[Draft], transcript: Transcript) -> list[Draft]:
    """Stable; drafts that cite no message of the transcript come last."""
    place = {message.id: message.index for message in transcript.messages}
    last = len(place)
    return sorted(drafts, key=lambda draft: place.get(next(iter(draft.message_ids), ""), last))
