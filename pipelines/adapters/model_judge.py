"""``Judge`` that asks a chat model, all pairs of a consolidation in one question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.adapters.prompts import load_prompt
from pipelines.ports import ChatRequest, PaidFor, Purpose
from pipelines.stages.merging.verdict import SCHEMA, SCHEMA_NAME, parse_verdicts, render_pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.adapters.paid_chat import PaidChat
    from pipelines.model import Owner
    from pipelines.stages.merging.relate import Pair, Relation


class ModelJudge:
    """One model call for all pairs; a stored reply stands in for its call."""

    def __init__(self, chat: PaidChat) -> None:
        self._chat = chat
        self._prompt = load_prompt("judge", "v1")

    @property
    def version(self) -> str:
        return self._prompt.version

    def judge(self, owner: Owner, pairs: Sequence[Pair]) -> dict[str, Relation]:
        request = ChatRequest(self._prompt.text, render_pairs(pairs), SCHEMA_NAME, SCHEMA)
        return self._chat.ask(
            request, PaidFor(owner, Purpose.JUDGE), lambda text: parse_verdicts(text, pairs)
        )
