"""Free-form JSON inside a transcript: what the server can store unchanged."""

from __future__ import annotations

import math
from typing import Any, Final

MAX_DEPTH: Final = 64
MAX_INTEGER: Final = 2**63

NUL: Final = "contains the NUL character, which cannot be stored; remove U+0000 before pushing"
SURROGATE: Final = (
    "contains a lone surrogate (half of a UTF-16 pair), which is not text; "
    "send well-formed UTF-8 and do not cut strings inside a character"
)


class NotPlain(ValueError):
    """The value is no JSON, or JSON that cannot be stored; the message says why."""


def plain_json(value: object, depth: int = 0) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Copy a value, made of what JSON knows and every store keeps.

    Raises:
        NotPlain: It holds something else; a loop counts as too deep.
    """
    if depth > MAX_DEPTH:
        raise NotPlain(f"is nested deeper than {MAX_DEPTH} levels; flatten it")
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, dict):
        return {_plain_key(key): plain_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain_json(item, depth + 1) for item in value]
    return _plain_scalar(value)


def plain_text(value: str) -> str:
    """Pass a text on that every store keeps.

    Raises:
        NotPlain: It holds NUL or half a character.
    """
    if "\x00" in value:
        raise NotPlain(NUL)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NotPlain(SURROGATE) from None
    return value


def _plain_key(key: object) -> str:
    if not isinstance(key, str):
        raise NotPlain("has a key that is not a string; JSON knows no other")
    return plain_text(key)


def _plain_scalar(value: object) -> bool | int | float | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if not -MAX_INTEGER <= value < MAX_INTEGER:
            raise NotPlain("has a whole number beyond 64 bits; send it as a string")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise NotPlain("has a number that is not finite; send null or a string")
        return value
    raise NotPlain(f"holds a {type(value).__name__}, which JSON does not know; send it as a string")
