"""``Distiller`` that asks a chat model, pays for each question once and repairs bad answers."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import BadReply
from pipelines.ports import ChatRequest
from pipelines.stages.reply import SCHEMA, SCHEMA_NAME, parse_reply
from pipelines.stages.windows import cut_windows, render_window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from config.policy import DistillPolicy
    from pipelines.model import Draft, Transcript
    from pipelines.ports import ChatModel, ChatReply, ReplyStore

_log = structlog.get_logger(__name__)
_PROMPT = "distill_v1"


class ModelDistiller:
    """One model call for each window of a transcript; a stored reply stands in for its call."""

    def __init__(self, chat: ChatModel, replies: ReplyStore, policy: DistillPolicy) -> None:
        self._chat = chat
        self._replies = replies
        self._policy = policy
        self._prompt = load_prompt(_PROMPT)

    @property
    def version(self) -> str:
        digest = hashlib.sha256(self._prompt.encode()).hexdigest()
        return f"{_PROMPT.replace('_', '-')}/{digest[:8]}"

    def distill(self, transcript: Transcript, keep_alive: Callable[[], None]) -> list[Draft]:
        drafts: list[Draft] = []
        for window in cut_windows(transcript, self._policy):
            drafts += self._distill_window(render_window(window), transcript)
            keep_alive()
        return _in_message_order(_without_repetitions(drafts), transcript)

    def _distill_window(self, text: str, transcript: Transcript) -> list[Draft]:
        """Ask, and ask again with what was wrong; the last problem is raised."""
        request = ChatRequest(self._prompt, text, SCHEMA_NAME, SCHEMA)
        for _ in range(self._policy.max_repairs):
            answer = ""
            try:
                answer = self._ask(request, transcript).text
                return parse_reply(answer, transcript)
            except BadReply as error:
                _log.warning("reply_rejected", receipt=str(transcript.id), problem=error.problem)
                request = replace(request, earlier=(*request.earlier, (answer, error.problem)))
        return parse_reply(self._ask(request, transcript).text, transcript)

    def _ask(self, request: ChatRequest, transcript: Transcript) -> ChatReply:
        """The stored reply, or a new one that is stored before anything else happens."""
        key = request_hash(self._chat.name, request, transcript)
        stored = self._replies.find_reply(key)
        if stored is not None:
            return stored
        reply = self._chat.complete(request)
        self._replies.keep_reply(key, reply, transcript.id)
        return reply


def load_prompt(name: str) -> str:
    """The text of a versioned prompt that is shipped with the package."""
    return resources.files("pipelines").joinpath("prompts", f"{name}.md").read_text("utf-8")


def request_hash(model: str, request: ChatRequest, transcript: Transcript) -> str:
    """Name a request by all that its answer depends on, and by its owner.

    Two users who said the same words do not share a reply: it is erased with its transcript.
    """
    parts = [
        transcript.owner.tenant_id,
        transcript.owner.user_id,
        model,
        request.system,
        request.user,
        request.schema_name,
        request.schema,
        request.earlier,
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


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
