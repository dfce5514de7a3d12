"""``Distiller`` that asks a chat model, pays for each question once and repairs bad answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.adapters.paid_chat import PaidChat, load_prompt, prompt_version
from pipelines.ports import ChatRequest, PaidFor, Purpose
from pipelines.stages.reply import SCHEMA, SCHEMA_NAME, parse_reply
from pipelines.stages.windows import cut_windows, render_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from config.policy import DistillPolicy
    from pipelines.model import Draft, Transcript
    from pipelines.ports import ChatModel, ReplyStore

_PROMPT = "distill_v1"


class ModelDistiller:
    """One model call for each window of a transcript; a stored reply stands in for its call."""

    def __init__(self, chat: ChatModel, replies: ReplyStore, policy: DistillPolicy) -> None:
        self._chat = PaidChat(chat, replies, policy.max_repairs)
        self._policy = policy
        self._prompt = load_prompt(_PROMPT)

    @property
    def version(self) -> str:
        return prompt_version(_PROMPT, self._prompt)

    def distill(self, transcript: Transcript, keep_alive: Callable[[], None]) -> list[Draft]:
        drafts: list[Draft] = []
        for window in cut_windows(transcript, self._policy):
            drafts += self._distill_window(render_window(window), transcript)
            keep_alive()
        return _in_message_order(_without_repetitions(drafts), transcript)

    def _distill_window(self, text: str, transcript: Transcript) -> list[Draft]:
        request = ChatRequest(self._prompt, text, SCHEMA_NAME, SCHEMA)
        paid_for = PaidFor(transcript.owner, Purpose.DISTILL, (transcript.id,))
        return self._chat.ask(request, paid_for, lambda answer: parse_reply(answer, transcript))


def _without_repetitions(drafts: Iterable[Draft]) -> list[Draft]:
    """What windows that overlap found twice stays once, as it was found first."""
    first: dict[tuple[str, str], Draft] = {}
    for draft in drafts:
        first.setdefault((draft.subject.casefold(), draft.statement.casefold()), draft)
    return list(first.values())


def _in_message_order(drafts: list[Draft], transcript: Transcript) -> list[Draft]:
    """Stable; drafts that cite no message of the transcript come last."""
    place = {message.id: message.index for message in transcript.messages}
    return sorted(drafts, key=lambda draft: place.get(draft.message_ids[0], len(place)))
