"""Reads the conversations and the replies about them that are told beside this module."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.model import Draft, Kind, Message, Role
from tests.builders import make_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.model import Transcript

SAID_AT = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)
_FOLDER = Path(__file__).parent / "grounding"
_ROLES = {"u": Role.USER, "a": Role.ASSISTANT, "t": Role.TOOL, "s": Role.SYSTEM}
_WHOLE = "~"


@dataclass(frozen=True, slots=True)
class Reply:
    """One fact as a model would write it, and what is wrong (or special) about it."""

    dialogue: str
    label: str
    draft: Draft

    def as_answer(self) -> dict[str, Any]:
        """As the model writes it."""
        draft = self.draft
        return {
            "statement": draft.statement,
            "subject": draft.subject,
            "kind": draft.kind.value,
            "quote": draft.quote,
            "message_ids": list(draft.message_ids),
            "importance": draft.importance,
            "attribute": draft.attribute,
            "value": draft.value,
            "ends": False,
            "event_date": draft.event_at.date().isoformat() if draft.event_at else None,
        }


def dialogues() -> dict[str, Transcript]:
    """Every conversation by its name."""
    turns: dict[str, list[str]] = {}
    for name, line in _lines("dialogues.txt"):
        turns.setdefault(name, []).append(line)
    return {name: _transcript(name, lines) for name, lines in turns.items()}


def invented() -> list[Reply]:
    """Replies that the conversations do not support."""
    return _replies("invented.txt")


def supported() -> list[Reply]:
    """Replies that the conversations support."""
    return _replies("supported.txt")


def _lines(file: str) -> Iterator[tuple[str, str]]:
    """Each line with the name of the conversation under which it stands."""
    name = ""
    for line in (_FOLDER / file).read_text("utf-8").splitlines():
        if line.startswith("["):
            name = line.strip("[]")
        elif line.strip() and not line.startswith("#"):
            yield name, line


def _transcript(name: str, lines: list[str]) -> Transcript:
    messages = tuple(_message(index, line) for index, line in enumerate(lines))
    return replace(make_transcript("", key=name, at=SAID_AT), messages=messages)


def _message(index: int, line: str) -> Message:
    speaker, _, content = line.partition(": ")
    role, _, name = speaker.partition(" ")
    text = content.replace("\\n", "\n")
    return Message(index, f"m{index}", _ROLES[role], text, SAID_AT, name or None)


def _replies(file: str) -> list[Reply]:
    known = dialogues()
    return [_reply(name, line, known[name]) for name, line in _lines(file)]


def _reply(name: str, line: str, transcript: Transcript) -> Reply:
    label, ids, quote, statement, *rest = line.split("|")
    options = _options(rest)
    first = ids.split()[0]
    content = next((m.content for m in transcript.messages if m.id == first), "")
    return Reply(
        name,
        label.strip(),
        Draft(
            statement=statement.strip(),
            subject=options.get("subject", "User"),
            kind=Kind(options.get("kind", "profile")),
            quote=content if quote.strip() == _WHOLE else quote[1:-1],
            message_ids=tuple(ids.split()),
            importance=0.6,
            attribute=options.get("attribute"),
            value=options.get("value"),
            event_at=_noon(options["event"]) if "event" in options else None,
        ),
    )


def _noon(day: str) -> datetime:
    return datetime.combine(date.fromisoformat(day), time(12), UTC)


def _options(fields: list[str]) -> dict[str, str]:
    """``attribute = value`` and ``key=value; key=value``."""
    options: dict[str, str] = {}
    for field in fields:
        if " = " in field:
            attribute, _, value = field.partition(" = ")
            options |= {"attribute": attribute.strip(), "value": value.strip()}
        else:
            pairs = (pair.partition("=") for pair in field.split(";"))
            options |= {key.strip(): value.strip() for key, _, value in pairs}
    return options
