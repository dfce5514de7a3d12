"""Cutting a transcript into what one model call sees, as lines that content cannot forge.

Each message is one JSON object on one line, so a message that contains line breaks, quotes or
text shaped like another message stays inside its own string.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from config.policy import DistillPolicy
    from pipelines.model import Message, Transcript

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SENTENCE_END = re.compile(r"[.!?…。!?][\"')\]]*\s+|\n+")
_SPACE = re.compile(r"\s+")
# Line breaks to a reader (and to str.splitlines) that JSON leaves as they are.
_HIDDEN_BREAKS = {ord(char): f"\\u{ord(char):04x}" for char in "\x7f\x85\u2028\u2029"}
_OVERLAP_SHARE = 4


@dataclass(frozen=True, slots=True)
class Piece:
    """A message, or as much of it as fits into a window.

    Attributes:
        part: From 1 where the message had to be split, else None.
        is_context: Repeated from the window before, only to understand the others.
    """

    message: Message
    content: str
    part: int | None = None
    is_context: bool = False


@dataclass(frozen=True, slots=True)
class Window:
    """Consecutive pieces of one transcript, distilled by one model call."""

    pieces: tuple[Piece, ...]
    time_zone: str


def cut_windows(transcript: Transcript, policy: DistillPolicy) -> list[Window]:
    """Cut on message borders; only a message longer than a window is split inside.

    The rendered lines of a window take at most ``policy.window_chars`` characters. Every
    piece is fresh in exactly one window; up to ``policy.overlap_messages`` pieces, and a
    quarter of a window, are repeated as context at the start of the next one.
    """
    zone = ZoneInfo(transcript.time_zone)
    windows: list[list[Piece]] = []
    current: list[Piece] = []
    size = 0
    for piece in _pieces(transcript, policy.window_chars, zone):
        length = _length(piece, zone)
        if current and size + length > policy.window_chars:
            windows.append(current)
            current = _context_for(length, current, policy, zone)
            size = sum(_length(item, zone) for item in current)
        current.append(piece)
        size += length
    windows.append(current)
    return [Window(tuple(pieces), transcript.time_zone) for pieces in windows if pieces]


def render_window(window: Window) -> str:
    """The window as the model reads it: a header line, then one JSON object a line."""
    zone = ZoneInfo(window.time_zone)
    header = _as_json({"time_zone": window.time_zone})
    return "\n".join([header, *(_line(piece, zone) for piece in window.pieces)])


def _pieces(transcript: Transcript, limit: int, zone: ZoneInfo) -> Iterator[Piece]:
    for message in transcript.messages:
        whole = Piece(message, message.content)
        if _length(whole, zone) <= limit:
            yield whole
        else:
            yield from _split(message, limit, zone)


def _split(message: Message, limit: int, zone: ZoneInfo) -> Iterator[Piece]:
    frame = _length(Piece(message, "", part=999_999, is_context=True), zone)
    room = max(limit - frame, 1)
    start, part = 0, 1
    while start < len(message.content):
        ahead = message.content[start : start + room]
        is_last = start + len(ahead) == len(message.content)
        cut = _find_cut(ahead, room, is_last=is_last)
        yield Piece(message, ahead[:cut], part=part)
        start, part = start + cut, part + 1


def _find_cut(text: str, room: int, *, is_last: bool) -> int:
    """Length of the first part of ``text`` whose JSON form takes at most ``room`` characters."""
    longest = _longest_fit(text, room)
    if is_last and longest == len(text):
        return longest
    for border in (_SENTENCE_END, _SPACE):
        ends = [match.end() for match in border.finditer(text, 0, longest)]
        if ends and ends[-1] > longest // 2:
            return ends[-1]
    return longest


def _longest_fit(text: str, room: int) -> int:
    """At least 1, so that a cut always makes progress."""
    longest = len(text)
    while longest > 1 and (escaped := _escaped_length(text[:longest])) > room:
        longest = max(min(longest - 1, longest * room // escaped), 1)
    return longest


def _context_for(
    length: int, before: Sequence[Piece], policy: DistillPolicy, zone: ZoneInfo
) -> list[Piece]:
    """The last pieces of the window before, as far as they leave room for ``length`` more."""
    budget = min(policy.window_chars // _OVERLAP_SHARE, policy.window_chars - length)
    latest = before[max(len(before) - policy.overlap_messages, 0) :]
    context = [Piece(item.message, item.content, item.part, is_context=True) for item in latest]
    while context and sum(_length(item, zone) for item in context) > budget:
        del context[0]
    return context


def _length(piece: Piece, zone: ZoneInfo) -> int:
    """Characters of its line with the line break."""
    return len(_line(piece, zone)) + 1


def _line(piece: Piece, zone: ZoneInfo) -> str:
    message = piece.message
    fields: dict[str, object] = {"id": message.id, "time": _local_time(message.created_at, zone)}
    if piece.is_context:
        fields["context"] = True
    fields["role"] = message.role.value
    if message.name is not None:
        fields["name"] = message.name
    if piece.part is not None:
        fields["part"] = piece.part
    return _as_json(fields | {"content": piece.content})


def _local_time(moment: datetime, zone: ZoneInfo) -> str:
    """The weekday stands beside the date: "last Friday" is counted from it."""
    local = moment.astimezone(zone)
    return f"{_DAYS[local.weekday()]} {local.isoformat(timespec='seconds')}"


def _as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False).translate(_HIDDEN_BREAKS)


def _escaped_length(text: str) -> int:
    return len(_as_json(text)) - 2
