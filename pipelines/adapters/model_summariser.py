"""``Summariser`` that asks a chat model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.adapters.prompts import load_prompt
from pipelines.errors import BadReply
from pipelines.ports import ChatRequest, PaidFor, Purpose

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.adapters.unkept_chat import UnkeptChat
    from pipelines.model import Owner

SCHEMA_NAME = "summary"
SCHEMA: dict[str, object] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["summary"],
    "properties": {"summary": {"type": "string"}},
}
# A word is about so many tokens; what is longer is shortened afterwards.
_TOKENS_IN_WORD = 1.5


class ModelSummariser:
    """One model call for one summary, booked on its user's account."""

    def __init__(self, chat: UnkeptChat) -> None:
        self._chat = chat
        self._prompt = load_prompt("summarise", "v1")

    @property
    def version(self) -> str:
        return f"{self._chat.name} {self._prompt.version}"

    def summarise(self, owner: Owner, texts: Sequence[str], max_tokens: int) -> str:
        words = max(1, int(max_tokens / _TOKENS_IN_WORD))
        request = ChatRequest(self._prompt.text, render_notes(texts, words), SCHEMA_NAME, SCHEMA)
        return parse_summary(self._chat.ask(request, PaidFor(owner, Purpose.SUMMARISE)))


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    summary: str


def render_notes(texts: Sequence[str], max_words: int) -> str:
    """The notes as the model reads them: no text can end its line."""
    lines = [{"max_words": max_words}, *([number, text] for number, text in enumerate(texts, 1))]
    return "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)


def parse_summary(text: str) -> str:
    """The summary in an answer.

    Raises:
        BadReply: It has another shape, or says nothing.
    """
    try:
        said = _Reply.model_validate_json(text).summary.strip()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise BadReply(f"{where}: {first['msg']}") from None
    if not said:
        raise BadReply("summary: is empty; say what the notes say")
    return said
