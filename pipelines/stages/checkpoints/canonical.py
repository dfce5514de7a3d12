"""One spelling of each JSON value, so that equal states have equal hashes.

It follows RFC 8785 (JCS) in all but two points: no space, keys sorted, strings escaped only where
JSON asks for it, UTF-8, finite numbers. Keys are sorted by code points, not by UTF-16 units (they
differ beyond U+FFFF only). Numbers keep what they are: ``1`` and ``1.0`` are two values, because
whoever saved one of them gets it back; each is spelled as Python spells it, which is the shortest
text that reads as the same number.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any, Final, NoReturn

MAX_NESTING: Final = 64
MAX_INTEGER: Final = 2**63

_ESCAPES: Final = str.maketrans({"~": "~0", "/": "~1"})


class NotJson(ValueError):
    """A value is none that JSON can hold for everybody.

    Attributes:
        place: A JSON Pointer to it; empty for the whole.
    """

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}" if place else reason)
        self.place = place
        self.reason = reason


def canonical_json(value: object) -> bytes:
    """The one spelling of a value that consists of what ``json`` reads.

    Raises:
        NotJson: It holds something else, or what not every reader keeps.
    """
    _check(value, ())
    return spell(value)


def spell(value: object) -> bytes:
    """The same without a check, for what was checked or read before."""
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def parse_json(raw: bytes) -> Any:  # noqa: ANN401 - JSON has no narrower type
    """Read JSON and lose nothing of it.

    Raises:
        NotJson: It is none, or what it holds would not be kept as it is.
    """
    try:
        return json.loads(
            raw,
            parse_constant=_refuse_constant,
            parse_int=_read_integer,
            object_pairs_hook=_read_object,
        )
    except RecursionError:
        raise NotJson("", f"is nested deeper than {MAX_NESTING} levels; flatten it") from None
    except NotJson:
        raise
    except ValueError:
        raise NotJson("", "is no JSON in UTF-8") from None


def digest(canonical: bytes) -> str:
    """SHA-256 in hex."""
    return hashlib.sha256(canonical).hexdigest()


def _refuse_constant(_: str) -> NoReturn:
    raise NotJson("", "holds a number that is not finite; send null or a string")


def _read_integer(text: str) -> int:
    # Python would take long over very many digits, and refuses most of them.
    if len(text) > len(str(-MAX_INTEGER)):
        raise NotJson("", "holds a whole number beyond 64 bits; send it as a string")
    return int(text)


def _read_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise NotJson("", "holds an object with two fields of one name; name each field once")
    return found


def _check(value: object, path: tuple[str | int, ...]) -> None:
    if len(path) > MAX_NESTING:
        raise NotJson(_pointer(path), f"is nested deeper than {MAX_NESTING} levels; flatten it")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise NotJson(_pointer(path), "has a key that is not a string; JSON has no other")
            _check_text(key, path)
            _check(item, (*path, key))
    elif isinstance(value, list):
        for place, item in enumerate(value):
            _check(item, (*path, place))
    else:
        _check_scalar(value, path)


def _check_scalar(value: object, path: tuple[str | int, ...]) -> None:
    if isinstance(value, str):
        _check_text(value, path)
    elif value is None or isinstance(value, bool):
        return
    elif isinstance(value, int):
        if not -MAX_INTEGER <= value < MAX_INTEGER:
            raise NotJson(
                _pointer(path), "holds a whole number beyond 64 bits; send it as a string"
            )
    elif not isinstance(value, float):
        raise NotJson(_pointer(path), f"is a {type(value).__name__}; JSON knows no such thing")
    elif not math.isfinite(value):
        raise NotJson(_pointer(path), "holds a number that is not finite; send null or a string")


def _check_text(value: str, path: tuple[str | int, ...]) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise NotJson(
            _pointer(path), "holds half of a UTF-16 pair, which is no text; send UTF-8"
        ) from None


def _pointer(path: tuple[str | int, ...]) -> str:
    shown = (str(step).translate(_ESCAPES) for step in path)
    return "".join(f"/{step}" for step in shown).encode("ascii", "backslashreplace").decode()
