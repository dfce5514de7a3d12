"""Reads what memstill asks a model, for servers that stand in for one."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Line = dict[str, Any]
_JUDGEMENT = "verdicts"


def is_judgement(body: Mapping[str, Any]) -> bool:
    """Whether a chat request asks for verdicts on pairs, and not for facts."""
    schema = body.get("response_format", {}).get("json_schema", {})
    return bool(schema.get("name") == _JUDGEMENT)


def read_question(body: Mapping[str, Any]) -> str:
    """What changes from request to request: the transcripts, or the pairs."""
    return str(next(item["content"] for item in body["messages"] if item["role"] == "user"))


def read_pairs(text: str) -> list[Line]:
    """The pairs that a judgement asks about, as they are written there."""
    return [json.loads(line) for line in text.split("\n")]


def read_lines(text: str) -> Iterator[Line]:
    """The messages that ``pipelines.stages.windows`` wrote; nothing from any other text.

    Each has ``id`` (the number that an answer cites), ``session``, ``time``, ``role``,
    ``content``, ``context`` (it is only there to understand the others), and ``name`` and
    ``part`` where the request gives them.
    """
    session, time = 0, ""
    if not text.startswith('{"session":'):
        return
    for row in map(json.loads, text.split("\n")):
        match row:
            case {"session": session}:
                continue
            case [time]:
                continue
            case [number, speaker, content, *marks]:
                role, _, name = speaker.partition(" ")
                words = marks[0].split() if marks else []
                line = {"id": number, "session": session, "time": time, "role": role}
                line |= {"content": content, "context": "context" in words}
                line |= {"name": name} if name else {}
                yield line | ({"part": int(words[-1])} if "part" in words else {})
