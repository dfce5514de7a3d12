"""Transcripts that nobody should send: from a seed and a number always the same bytes."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from tests.fuzzing.texts import IDS, nasty_text

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BYTES = 10 * 1024 * 1024
# Stands in everything that is said, and therefore in no error.
CANARY = "zqxcanary"
USERS = 40
TIMES = (
    "0001-01-01T00:00:00Z", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59",
    "2016-12-31T23:59:60Z", "2026-02-29T00:00:00Z", "2024-02-29T12:00:00+05:45",
    "2026-03-29T02:30:00+01:00", "2026-03-02T09:00:00-12:00", "2026-03-02T09:00:00+14:00",
    "2026-03-02T09:00:00+23:59", "2026-03-02T09:00:00+24:00", "2026-03-02T09:00:00",
    "2026-03-02", "2999-01-01T00:00:00Z", "1772442000", "1772442000000", "",
    "2026-03-02T09:00:00.1234567890Z", "2026-W10-1T00:00:00Z", "\u0662\u0660\u0662\u0666-03-02",
    "2026-03-02t09:00:00z", "now", "2026-03-02T24:00:00Z", "-2026-03-02T09:00:00Z",
)  # fmt: skip
ZONES = (
    "UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", "Etc/GMT+12",
    "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "posix/UTC", "localtime", "europe/berlin",
    "Europe/Berlin\x00", "Europe", "", " ", "EST5EDT", "\ud800", "A" * 300,
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 1.5, -0.0, 10**18, 2**63, 2**64, 10**400, "", "x", [], [[]],
    {}, {"": ""}, {"a": {"b": [None]}}, ["user"], "1", "\x00",
)  # fmt: skip
FIELDS = (
    "schema_version", "tenant_id", "user_id", "agent_id", "session_id", "idempotency_key",
    "started_at", "time_zone", "metadata", "messages", "unknown", "schemaVersion", "",
)  # fmt: skip
LANES = (*(None,) * 12, "interactive", "backfill", "backfill", "", "Backfill", "\x00", "\u202e")
MESSAGE_FIELDS = ("id", "role", "name", "content", "created_at", "tool_call", "tool_calls", "x")
# As JSON writes what Python's writer does not.
RAW_VALUES = (
    "1e400", "-1e400", "1" * 5_000, "NaN", "Infinity", "-Infinity", "0x10", "01", "1_000",
    "'a'", '"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\x00"', "[" * 100_000,
    '{"a":' * 100_000, "[" * 100_000 + "]" * 100_000, "{" * 500, "", ",", "undefined", "\ufeff1",
)  # fmt: skip


class Road(StrEnum):
    """How a transcript comes in."""

    HTTP = "http"
    BULK = "bulk"
    STREAM = "stream"


@dataclass(frozen=True, slots=True)
class Case:
    """One push.

    Attributes:
        what: The changes that made it nasty.
        lane: As the pusher names it, if at all.
    """

    number: int
    road: Road
    what: tuple[str, ...]
    body: bytes
    lane: str | None = None


Change = tuple[str, "Callable[[random.Random, dict[str, Any]], None]"]


def make_case(seed: int, number: int, *, largest: int = MAX_BYTES) -> Case:
    """The push of this number; its texts have at most ``largest`` characters."""
    rng = random.Random(f"{seed}/{number}")
    road = rng.choice(tuple(Road))
    document = _make_document(rng, number, largest)
    changes = rng.sample(_CHANGES, rng.choice((0, 0, 1, 1, 2, 3)))
    for _, change in changes:
        change(rng, document)
    body = _written(rng, document)
    what = [name for name, _ in changes]
    if rng.random() < _BROKEN_SHARE:
        name, breaking = rng.choice(_BREAKINGS)
        body = breaking(rng, body)
        what.append(name)
    return Case(number, road, tuple(what), body, rng.choice(LANES))


def make_edge_cases(number: int) -> list[Case]:
    """What is rare enough to be made on purpose: at the limits of size, count and depth."""
    rng = random.Random(number)
    plain = _make_document(rng, number, 200)
    said = [
        {"role": "user", "content": f"I like {CANARY} tea {index}.", "name": f"N{index}"}
        for index in range(5_000)
    ]
    exact = dict(plain, messages=[{"role": "user", "content": ""}], session_id="exact")
    room = MAX_BYTES - len(json.dumps(exact))
    prose = "I like tea. Anna lives in Bonn since 3 May 2019! My dog is 4.\n"
    bodies = {
        "10 MB": _with_content(exact, (prose * (room // len(prose) + 1)).replace("\n", " ")[:room]),
        "10 MB and a byte": _with_content(exact, "x" * (room + 1)),
        "10 MB of one letter": _with_content(exact, "a" * room),
        "10 MB of marks": _with_content(exact, "I like tea. " + "\u0327\u0301" * (room // 13)),
        "5,000 messages": json.dumps(dict(plain, messages=said)),
        "10 MB in 5,000 messages": json.dumps(
            dict(plain, messages=[{"role": "user", "content": prose * 31}] * 5_000)
        ),
        "50,000 fields": json.dumps(
            dict(plain, metadata={f"password: {index}": index for index in range(50_000)})
        ),
        "empty messages": json.dumps(dict(plain, messages=[{"role": "user", "content": ""}] * 500)),
        "no messages": json.dumps(dict(plain, messages=[])),
    }
    return [
        Case(number + place, road, (name,), body.encode())
        for place, (name, body) in enumerate(bodies.items())
        for road in Road
    ]


def _with_content(document: dict[str, Any], content: str) -> str:
    return json.dumps(dict(document, messages=[{"role": "user", "content": content}]))


# ---- documents -----------------------------------------------------------------------------------

_BROKEN_SHARE = 0.12
_ROLES = ("user", "user", "user", "assistant", "tool", "system")


def _make_document(rng: random.Random, number: int, largest: int) -> dict[str, Any]:
    """A valid one, as far as its texts are."""
    document: dict[str, Any] = {
        "schema_version": 1,
        "user_id": f"user-{number // USERS}",
        "session_id": f"s-{number}",
        "messages": [
            _make_message(rng, number, place, largest)
            for place in range(rng.choice((1, 1, 1, 1, 2, 2, 2, 3, 3, 4, 5, 6, 30)))
        ],
    }
    if rng.random() < 0.5:
        document["started_at"] = f"2026-0{rng.randint(1, 9)}-1{rng.randint(0, 9)}T09:00:00Z"
    if rng.random() < 0.3:
        document["time_zone"] = rng.choice(ZONES[:6])
        document["metadata"] = {nasty_text(rng, 8): nasty_text(rng, 40)}
    return document


def _make_message(rng: random.Random, number: int, place: int, largest: int) -> dict[str, Any]:
    length = min(largest, rng.choice((5, 40, 200, 200, 1_000, 3_000)))
    if rng.random() < 0.0005 and place == 0:
        length = rng.randint(1, largest)
    said = f"{CANARY}{number} {nasty_text(rng, length)}"
    message: dict[str, Any] = {"role": rng.choice(_ROLES), "content": said}
    if rng.random() < 0.3:
        message["name"] = rng.choice(("Ana", "Bob", "Jos\u00e9", "user", "System"))
    if rng.random() < 0.1:
        message["tool_call"] = {"name": "search", "arguments": nasty_text(rng, 50)}
    return message


def _written(rng: random.Random, document: dict[str, Any]) -> bytes:
    """Escaped, or in UTF-8 in which half a character is three broken bytes."""
    text = json.dumps(document, ensure_ascii=rng.random() < 0.5)
    return text.encode("utf-8", "surrogatepass")


# ---- changes of a document -----------------------------------------------------------------------


def _any_message(rng: random.Random, document: dict[str, Any]) -> dict[str, Any]:
    messages = document.get("messages")
    found = rng.choice(messages) if isinstance(messages, list) and messages else {}
    return found if isinstance(found, dict) else {}


def _change_id(rng: random.Random, document: dict[str, Any]) -> None:
    field = rng.choice(("tenant_id", "user_id", "agent_id", "session_id", "idempotency_key"))
    document[field] = rng.choice(IDS)


def _change_message_id(rng: random.Random, document: dict[str, Any]) -> None:
    _any_message(rng, document)[rng.choice(("id", "name"))] = rng.choice(IDS)


def _change_time(rng: random.Random, document: dict[str, Any]) -> None:
    document["started_at"] = rng.choice(TIMES)


def _change_message_time(rng: random.Random, document: dict[str, Any]) -> None:
    _any_message(rng, document)["created_at"] = rng.choice(TIMES)


def _change_offset(rng: random.Random, document: dict[str, Any]) -> None:
    minutes = rng.randint(-1439, 1439)
    sign = "-" if minutes < 0 else "+"
    offset = f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
    document["started_at"] = f"2026-03-02T09:00:00.{rng.randint(0, 999999):06d}{offset}"


def _change_zone(rng: random.Random, document: dict[str, Any]) -> None:
    document["time_zone"] = rng.choice(ZONES)


def _change_type(rng: random.Random, document: dict[str, Any]) -> None:
    document[rng.choice(FIELDS)] = rng.choice(VALUES)


def _change_message_type(rng: random.Random, document: dict[str, Any]) -> None:
    _any_message(rng, document)[rng.choice(MESSAGE_FIELDS)] = rng.choice(VALUES)


def _drop_field(rng: random.Random, document: dict[str, Any]) -> None:
    document.pop(rng.choice(sorted(document)))


def _drop_message_field(rng: random.Random, document: dict[str, Any]) -> None:
    message = _any_message(rng, document)
    if message:
        message.pop(rng.choice(sorted(message)))


def _nest(rng: random.Random, document: dict[str, Any]) -> None:
    value: Any = rng.choice(VALUES)
    for _ in range(rng.choice((10, 62, 63, 64, 65, 190, 300))):
        value = {"a": value} if rng.random() < 0.5 else [value]
    document["metadata"] = {"deep": value}


def _say_nothing(rng: random.Random, document: dict[str, Any]) -> None:
    said = rng.choice(("", " ", "\n", "\u200b", "\u3000"))
    document["messages"] = [{"role": "user", "content": said}] * rng.choice((1, 3, 200))


def _repeat_messages(rng: random.Random, document: dict[str, Any]) -> None:
    document["messages"] = [_any_message(rng, document)] * rng.choice((2, 2, 40, 40, 300))


def _use_key_again(rng: random.Random, document: dict[str, Any]) -> None:
    document["idempotency_key"] = f"key-{rng.randint(0, 2)}"


_CHANGES: tuple[Change, ...] = (
    ("id", _change_id),
    ("id", _change_id),
    ("message id", _change_message_id),
    ("time", _change_time),
    ("message time", _change_message_time),
    ("offset", _change_offset),
    ("zone", _change_zone),
    ("type", _change_type),
    ("message type", _change_message_type),
    ("no field", _drop_field),
    ("no message field", _drop_message_field),
    ("nested", _nest),
    ("nothing said", _say_nothing),
    ("repeated", _repeat_messages),
    ("key again", _use_key_again),
)

# ---- changes of its bytes ------------------------------------------------------------------------


def _cut(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randint(0, len(body))]


def _flip(rng: random.Random, body: bytes) -> bytes:
    place = rng.randrange(len(body))
    return body[:place] + bytes([rng.randrange(256)]) + body[place + 1 :]


def _break_utf8(rng: random.Random, body: bytes) -> bytes:
    place = rng.randrange(len(body))
    wrong = rng.choice((b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf8\x88", b"\x80", b"\xfe\xff"))
    return body[:place] + wrong + body[place:]


def _wrap(rng: random.Random, body: bytes) -> bytes:
    form = rng.choice((b"\xef\xbb\xbf%s", b"[%s]", b"%s%s", b"%s x", b'"%s"', b"\x00%s", b"%s\x00"))
    return form.replace(b"%s", body)


def _say_twice(rng: random.Random, body: bytes) -> bytes:
    key, value = rng.choice(FIELDS), rng.choice(VALUES[:-1])
    return body[:-1] + f", {json.dumps(key)}: {json.dumps(value)}}}".encode()


def _put_raw(rng: random.Random, body: bytes) -> bytes:
    field = rng.choice((*FIELDS, "metadata"))
    return body[:-1] + f', "{field}": {rng.choice(RAW_VALUES)}}}'.encode()


def _encode_otherwise(rng: random.Random, body: bytes) -> bytes:
    return body.decode("utf-8", "replace").encode(rng.choice(("utf-16", "utf-32", "utf-7")))


_BREAKINGS = (
    ("cut", _cut),
    ("a byte", _flip),
    ("no UTF-8", _break_utf8),
    ("wrapped", _wrap),
    ("field twice", _say_twice),
    ("raw value", _put_raw),
    ("raw value", _put_raw),
    ("other encoding", _encode_otherwise),
)
