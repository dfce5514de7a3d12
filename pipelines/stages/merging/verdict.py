"""The question that a judging model is asked, its JSON schema, and reading its answer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from pipelines.errors import BadReply
from pipelines.stages.merging.relate import Relation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.stages.merging.relate import Pair, Said

SCHEMA_NAME = "verdicts"
SCHEMA: dict[str, object] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["verdicts"],
    "properties": {
        "verdicts": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["pair", "relation"],
                "properties": {
                    "pair": {"type": "integer"},
                    "relation": {"type": "string", "enum": [item.value for item in Relation]},
                },
            },
        }
    },
}
_LONGEST_QUOTE = 240


class _Verdict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    pair: int
    relation: Relation


class _Reply(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")

    verdicts: tuple[_Verdict, ...]


def render_pairs(pairs: Sequence[Pair]) -> str:
    """The pairs as the judge reads them, one JSON object a line, numbered from 1."""
    return "\n".join(_line(number, pair) for number, pair in enumerate(pairs, 1))


def parse_verdicts(text: str, pairs: Sequence[Pair]) -> dict[str, Relation]:
    """Verdicts by the keys of the pairs; a number that was not asked is ignored.

    Raises:
        BadReply: The answer has another shape, or gives one pair two different relations.
    """
    try:
        reply = _Reply.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"])) or "the answer"
        raise BadReply(f"{where}: {first['msg']}") from None
    found: dict[str, Relation] = {}
    for item in reply.verdicts:
        if 1 <= item.pair <= len(pairs):
            key = pairs[item.pair - 1].key
            if found.setdefault(key, item.relation) is not item.relation:
                raise BadReply(f"pair {item.pair} has two different relations: give it one")
    return found


def _line(number: int, pair: Pair) -> str:
    """Inside a slot with value and quote; elsewhere the statements say it all."""
    line: dict[str, object] = {"pair": number, "subject": pair.earlier.subject}
    slot = pair.earlier.slot
    if pair.is_in_slot and slot is not None:
        line["attribute"] = slot.attribute
    line |= {"a": _side(pair.earlier, pair), "b": _side(pair.later, pair)}
    return json.dumps(line, ensure_ascii=False, separators=(",", ":"))


def _side(said: Said, pair: Pair) -> dict[str, str | None]:
    side: dict[str, str | None] = {
        "date": said.at.date().isoformat(),
        "statement": said.statement,
    }
    if pair.is_in_slot:
        side["value"] = said.value
        if said.quote not in said.statement:
            side["quote"] = said.quote[:_LONGEST_QUOTE]
    return side
