"""``MEMORY.md``: what is known of one user, to be read and edited by hand.

A line is a statement with its dates in brackets; below it stands who said it. What is read again
is each line with what the brackets say; quotes are for people.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pipelines.errors import InputError
from pipelines.model import Kind, MemoryState, Scope
from pipelines.stages.injection.fence import strip_fenced
from pipelines.stages.injection.orders import is_memory_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

VERSION = 1
MAX_LINES = 50_000
LONGEST = 4_000
BEFORE = "What held before"
SECTIONS = {
    Kind.PREFERENCE: "Preferences",
    Kind.PROFILE: "Profile",
    Kind.PROCEDURE: "Procedures",
    Kind.OUTCOME: "Outcomes",
    Kind.LESSON: "Lessons",
    Kind.EVENT: "Events",
    Kind.KNOWLEDGE: "Knowledge",
}
_NOTE = (
    "<!-- Correct a line, or add one: `memstill import` takes it as the word of the user.\n"
    "Deleting a line forgets nothing: `memstill erase` does. -->"
)
_HEADER = re.compile(r"<!-- memstill (\{.*\}) -->")
_TOLD = re.compile(r"- (?P<statement>.+) \[id (?P<id>[0-9a-f-]{36})(?P<more>(?:, [^\[\]]*)?)\]")
_PLAIN = re.compile(r"- (?P<statement>.+)")
_DATED = re.compile(r"(since|until|confirmed) (\S+)")
_BY = re.compile(r"by ([^\[\],]+)")


@dataclass(frozen=True, slots=True)
class Head:
    """Whose memory a file holds."""

    tenant_id: str
    user_id: str


@dataclass(frozen=True, slots=True)
class Line:
    """A statement of a file.

    Attributes:
        number: Of the line, from 1.
        id: The memory that it was exported from; None for one that was written by hand.
        by: Who said it, where somebody with a name did.
    """

    number: int
    statement: str
    id: UUID | None = None
    since: date | None = None
    until: date | None = None
    by: str | None = None
    pinned: bool = False


def is_shown(memory: dict[str, Any]) -> bool:
    """Whether a file has a line of it: it is the user's own, and in use or history."""
    return (
        memory["state"] != MemoryState.MERGED.value
        and memory["scope"] != Scope.GLOBAL.value
        and memory["evicted_at"] is None
    )


def one_line(text: str) -> str:
    """A text as it stands in a line."""
    return " ".join(text.split())


# ---- writing -------------------------------------------------------------------------------------


def render_memory(head: Head, exported_at: str, memories: Iterable[dict[str, Any]]) -> str:
    """The whole file: current statements by kind, then what held before."""
    sections: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for memory in memories:
        if is_shown(memory):
            sections[_section(memory)].append(memory)
    parts = [f"# What is known of {one_line(head.user_id)}", "", _header(head, exported_at), _NOTE]
    for name in (*SECTIONS.values(), BEFORE):
        if sections[name]:
            parts += ["", f"## {name}", ""]
            parts += [text for memory in sorted(sections[name], key=_age) for text in _told(memory)]
    return "\n".join((*parts, ""))


def render_days(memories: Iterable[dict[str, Any]]) -> dict[str, str]:
    """What was learned on each day, by its date in UTC."""
    days: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for memory in memories:
        if is_shown(memory):
            days[_learned(memory)[:10]].append(memory)
    return {
        day: "\n".join(
            (
                f"# Learned on {day}",
                "",
                *(text for memory in sorted(learned, key=_learned) for text in _told(memory)),
                "",
            )
        )
        for day, learned in sorted(days.items())
    }


def _header(head: Head, exported_at: str) -> str:
    told = {
        "schema_version": VERSION,
        "tenant_id": head.tenant_id,
        "user_id": head.user_id,
        "exported_at": exported_at,
    }
    # Nothing in it can end the comment.
    text = json.dumps(told).replace(">", "\\u003e")
    return f"<!-- memstill {text} -->"


def _section(memory: dict[str, Any]) -> str:
    is_current = memory["state"] == MemoryState.ACTIVE.value
    return SECTIONS[Kind(memory["kind"])] if is_current else BEFORE


def _age(memory: dict[str, Any]) -> tuple[str, str]:
    return (memory["valid_from"], memory["id"])


def _learned(memory: dict[str, Any]) -> str:
    said = [item["said_at"] for item in memory["evidence"]]
    return str(min(said, default=memory["valid_from"]))


def _told(memory: dict[str, Any]) -> Iterator[str]:
    yield f"- {one_line(memory['statement'])} [{', '.join(_marks(memory))}]"
    for item in memory["evidence"]:
        cited = ", ".join(
            one_line(text)
            for text in (
                item["speaker"],
                item["said_at"],
                f"session {item['session_id']}",
                f"message {item['message_id']}",
            )
        )
        yield f"  - \u201c{one_line(item['quote'])}\u201d ({cited})"


def _marks(memory: dict[str, Any]) -> Iterator[str]:
    yield f"id {memory['id']}"
    yield f"since {memory['valid_from'][:10]}"
    if memory["valid_to"] is not None:
        yield f"until {memory['valid_to'][:10]}"
    yield f"confirmed {memory['confirmed_at'][:10]}"
    speaker = speaker_of(memory)
    if speaker is not None and _BY.fullmatch(f"by {speaker}"):
        yield f"by {speaker}"
    if memory["pinned"]:
        yield "pinned"


def speaker_of(memory: dict[str, Any]) -> str | None:
    """The user with a name who said it, if one did."""
    said = (item["speaker"] for item in memory["evidence"] if item["role"] == "user")
    return next((one_line(name) for name in said if name != "User"), None)


# ---- reading -------------------------------------------------------------------------------------


def read_memory(text: str, name: str) -> tuple[Head | None, list[Line]]:
    """The statements of a file, and whose it says they are; None where nobody wrote that.

    Raises:
        InputError: A line cannot be read, or may not be taken in; its number is named.
    """
    rows = text.replace("\r\n", "\n").split("\n")
    if len(rows) > MAX_LINES:
        raise InputError(name, f"has more than {MAX_LINES:,} lines; import it in parts")
    head: Head | None = None
    lines: list[Line] = []
    in_comment = False
    for number, row in enumerate(rows, 1):
        place = f"{name}:{number}"
        found = _HEADER.fullmatch(row.strip())
        if found is not None and not in_comment:
            head = _read_head(found[1], place)
            continue
        was_in_comment, in_comment = in_comment, _is_open(row, is_open=in_comment)
        if was_in_comment or row.lstrip().startswith("<!--") or _is_silent(row):
            continue
        lines.append(_read_line(row.rstrip(), number, place))
    return head, lines


def _is_open(row: str, *, is_open: bool) -> bool:
    """Whether a comment goes on behind this row."""
    if is_open:
        return "-->" not in row
    _, begins, after = row.partition("<!--")
    return bool(begins) and row.lstrip().startswith("<!--") and "-->" not in after


def _is_silent(row: str) -> bool:
    """A heading, a quote below a line, or nothing."""
    return not row.strip() or row.startswith(("#", " ", "\t"))


def _read_head(text: str, place: str) -> Head:
    try:
        told = json.loads(text)
        version = told["schema_version"]
        head = Head(told["tenant_id"], told["user_id"])
    except (ValueError, TypeError, KeyError, RecursionError):
        raise InputError(place, "is no header of memstill; delete the line") from None
    if version != VERSION:
        raise InputError(
            place, f"has version {version!r}, and this release reads {VERSION}; use a newer one"
        )
    if not all(isinstance(part, str) for part in (head.tenant_id, head.user_id)):
        raise InputError(place, "names a tenant or a user that is no text; delete the line")
    return head


def _read_line(row: str, number: int, place: str) -> Line:
    found = _TOLD.fullmatch(row) or _PLAIN.fullmatch(row)
    if found is None:
        raise InputError(place, "is no statement: begin it with '- ', or make it a comment")
    statement = one_line(found["statement"])
    _check(statement, place)
    if "id" not in found.re.groupindex:
        return Line(number, statement)
    more = found["more"].removeprefix(", ").split(", ") if found["more"] else []
    dates = _read_dates(more, place)
    by = next((match[1] for part in more if (match := _BY.fullmatch(part))), None)
    return Line(
        number,
        statement,
        _read_id(found["id"], place),
        dates.get("since"),
        dates.get("until"),
        by,
        pinned="pinned" in more,
    )


def _check(statement: str, place: str) -> None:
    if not statement or len(statement) > LONGEST:
        raise InputError(place, f"must have 1 to {LONGEST:,} characters; make several of it")
    if "\x00" in statement:
        raise InputError(place, "contains the NUL character; remove it")
    if strip_fenced(statement) != statement:
        raise InputError(place, "holds what recall puts into a prompt; delete the tags")
    if is_memory_order(statement):
        raise InputError(place, "gives an order to the memory; say what holds instead")


def _read_dates(parts: Sequence[str], place: str) -> dict[str, date]:
    dates = {}
    for part in parts:
        found = _DATED.fullmatch(part)
        if found is not None:
            try:
                dates[found[1]] = date.fromisoformat(found[2])
            except ValueError:
                raise InputError(
                    place, f"{part!r} is no date: write it as {found[1]} 2026-03-02"
                ) from None
    return dates


def _read_id(text: str, place: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise InputError(place, "has an id that is none; leave the brackets out") from None
