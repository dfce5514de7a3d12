"""What a broken transcript is told: the field, and the reason with its remedy.

Reasons name fields and rules, never what was said in them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from memstill_client.errors import InvalidTranscript
from memstill_client.json_values import SURROGATE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

WHOLE = "transcript"
MAX_SHOWN_NAME = 60
FREE_FORM = frozenset({"metadata", "tool_call"})

TIME = "an ISO 8601 time with its UTC offset, for example 2026-03-02T09:00:05+01:00"
ROLES = "must be one of user, assistant, system, tool"
OBJECT = "must be an object with string keys"
BY_FIELD = {
    "missing": {
        "schema_version": "is required; send 1",
        "user_id": "is required; say whose conversation this is",
        "session_id": "is required; say which conversation this is",
        "messages": "is required; send the turns in order, each with role and content",
        "role": f"is required; it {ROLES}",
        "content": 'is required; send "" for a turn that only calls a tool',
    },
    "literal_error": {
        "schema_version": "is not a known version; this release reads 1",
        "role": ROLES,
    },
    "string_type": {
        "content": 'must be a string; join parts into one text, send "" where there is none',
        "metadata": OBJECT,
        "tool_call": OBJECT,
    },
    "list_type": {"messages": "must be a list of messages"},
    "dict_type": {"metadata": OBJECT, "tool_call": OBJECT},
}
BY_TYPE = {
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most 200 characters",
    "string_pattern_mismatch": "must hold a visible character and no control characters",
    "string_unicode": SURROGATE,
    "too_short": "is empty; send at least one message",
    "model_type": "must be an object",
    "invalid_key": "is not a string; JSON knows no other keys",
    "timezone_aware": f"has no UTC offset, so it names no moment; send {TIME}",
    "written_time": f"must be a string: {TIME}",
}
TOOL_FIELDS = frozenset({"tool_calls", "tool_call_id", "function_call"})


def explain(error: ValidationError, known: Sequence[Collection[str]]) -> InvalidTranscript:
    """Turn pydantic's first complaint into a refusal.

    Args:
        error: What pydantic found.
        known: The field names of a transcript, then those of a message.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    path = _known_part(first["loc"])
    return InvalidTranscript(_field(path), _reason(first, path, known))


def _known_part(path: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The path up to where free form begins: what stands there is nobody's business."""
    end = next((index for index, step in enumerate(path) if step in FREE_FORM), len(path))
    return path[: end + 1]


def _field(path: tuple[int | str, ...]) -> str:
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
            continue
        text += ("." if text else "") + _shown(step)
    return text or WHOLE


def _shown(name: str) -> str:
    if name.isprintable() and len(name) <= MAX_SHOWN_NAME:
        return name
    return ascii(name[:MAX_SHOWN_NAME])


def _reason(
    first: ErrorDetails, path: tuple[int | str, ...], known: Sequence[Collection[str]]
) -> str:
    kind = first["type"]
    name = next((step for step in reversed(path) if isinstance(step, str)), WHOLE)
    if kind == "extra_forbidden":
        return _unknown(name, known[len(path) > 1])
    if kind == "json_invalid":
        return f"is not valid JSON: {first['ctx']['error']}"
    if kind.startswith("datetime_"):
        return f"is not a time; send {TIME}"
    special = BY_FIELD.get(kind, {}).get(name)
    return special or BY_TYPE.get(kind, f"is not valid ({kind})")


def _unknown(name: str, known: Collection[str]) -> str:
    if name in TOOL_FIELDS:
        return "is not a field of version 1; put the call, as an object, into tool_call"
    return (
        f"is not a field of version 1, which knows {', '.join(known)}; "
        "what is your own goes into metadata"
    )
