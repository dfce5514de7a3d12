"""Cutting transcripts into what one model call sees, as lines that content cannot forge.

A session opens with a JSON object, a new hour with a JSON array of one string, and each message
is a JSON array on one line: its number in the request, who spoke, what was said. So a message
that contains line breaks, quotes or text shaped like another message stays inside its own
string. Numbers stand for message ids, which may be long; ``stages.reply`` maps them back.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
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
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Piece:
    """A message, or as much of it as fits into a window.

    Attributes:
        number: Stands for the message in the request and in the answer.
        part: From 1 where the message had to be split, else None.
        is_context: Repeated from the window before, only to understand the others.
    """

    number: int
    message: Message
    content: str
    part: int | None = None
    is_context: bool = False


@dataclass(frozen=True, slots=True)
class Passage:
    """Consecutive pieces of one transcript.

    Attributes:
        session: Number of the transcript in the request, from 1.
    """

    session: int
    time_zone: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """What one model call distills: a part of one transcript, or several short ones whole."""

    passages: tuple[Passage, ...]


def cut_windows(transcript: Transcript, policy: DistillPolicy) -> list[Window]:
    """Cut on message borders; only a message longer than a window is split inside.

    The rendered lines of a window, without its first, take at most ``policy.window_chars``
    characters. Every piece is fresh in exactly one window; up to ``policy.overlap_messages``
    pieces, and a quarter of a window, are repeated as context at the start of the next one.
    """
    if whole := join_window([transcript], policy):
        return [whole] if transcript.messages else []
    zone = ZoneInfo(transcript.time_zone)
    windows: list[list[Piece]] = []
    current: list[Piece] = []
    size = 0
    for piece in _pieces(transcript, policy.window_chars, zone):
        if current and size + _length_after(current, piece, zone) > policy.window_chars:
            windows.append(current)
            current = _context_for(piece, current, policy, zone)
            size = _length(current, zone)
        size += _length_after(current, piece, zone)
        current.append(piece)
    windows.append(current)
    return [
        Window((Passage(1, transcript.time_zone, tuple(pieces)),)) for pieces in windows if pieces
    ]


def join_window(transcripts: Sequence[Transcript], policy: DistillPolicy) -> Window | None:
    """One window with all of these transcripts whole, in this order; None if it is too long."""
    said = sum(len(message.content) for item in transcripts for message in item.messages)
    if said > policy.window_chars:
        return None
    pieces: list[list[Piece]] = [[] for _ in transcripts]
    for number, (session, message) in enumerate(number_messages(transcripts)):
        pieces[session].append(Piece(number, message, message.content))
    window = Window(
        tuple(
            Passage(session, transcript.time_zone, tuple(pieces[session - 1]))
            for session, transcript in enumerate(transcripts, start=1)
        )
    )
    return window if len(render_window(window)) <= policy.window_chars else None


def select_company(
    lead: Transcript, waiting: Sequence[Transcript], policy: DistillPolicy
) -> list[Transcript]:
    """Those of the waiting, in their order, that fit into one window together with ``lead``."""
    chosen: list[Transcript] = []
    for item in waiting:
        if len(chosen) + 1 < policy.max_sessions and join_window([lead, *chosen, item], policy):
            chosen.append(item)
    return chosen


def render_window(window: Window) -> str:
    """The window as the model reads it."""
    return "\n".join(line for passage in window.passages for line in _passage_lines(passage))


def number_messages(transcripts: Sequence[Transcript]) -> list[tuple[int, Message]]:
    """All messages of a request with the position of their transcript in it.

    The position of a message in this list is the number that stands for it.
    """
    return [
        (position, message)
        for position, transcript in enumerate(transcripts)
        for message in transcript.messages
    ]


def _pieces(transcript: Transcript, limit: int, zone: ZoneInfo) -> Iterator[Piece]:
    for number, message in enumerate(transcript.messages):
        whole = Piece(number, message, message.content)
        if _length([whole], zone) <= limit:
            yield whole
        else:
            yield from _split(whole, limit, zone)


def _split(whole: Piece, limit: int, zone: ZoneInfo) -> Iterator[Piece]:
    frame = _length([replace(whole, content="", part=999_999, is_context=True)], zone)
    room = max(limit - frame, 1)
    start, part = 0, 1
    while start < len(whole.content):
        ahead = whole.content[start : start + room]
        is_last = start + len(ahead) == len(whole.content)
        cut = _find_cut(ahead, room, is_last=is_last)
        yield replace(whole, content=ahead[:cut], part=part)
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
    piece: Piece, before: Sequence[Piece], policy: DistillPolicy, zone: ZoneInfo
) -> list[Piece]:
    """The last pieces of the window before, as far as they leave room for one more piece."""
    latest = before[max(len(before) - policy.overlap_messages, 0) :]
    context = [replace(item, is_context=True) for item in latest]
    while context and (
        _length(context, zone) > policy.window_chars // _OVERLAP_SHARE
        or _length([*context, piece], zone) > policy.window_chars
    ):
        del context[0]
    return context


def _length(pieces: Sequence[Piece], zone: ZoneInfo) -> int:
    """Characters of their lines with the line breaks."""
    return sum(len(line) + 1 for line in _lines(pieces, zone))


def _length_after(before: Sequence[Piece], piece: Piece, zone: ZoneInfo) -> int:
    """Characters that a piece adds to the lines of those before it."""
    latest = before[-1:]
    return _length([*latest, piece], zone) - _length(latest, zone)


def _passage_lines(passage: Passage) -> Iterator[str]:
    yield _as_json({"session": passage.session, "time_zone": passage.time_zone})
    yield from _lines(passage.pieces, ZoneInfo(passage.time_zone))


def _lines(pieces: Sequence[Piece], zone: ZoneInfo) -> Iterator[str]:
    """The messages, and the time wherever another hour begins."""
    hour = ""
    for piece in pieces:
        local = piece.message.created_at.astimezone(zone)
        if (now := local.isoformat(timespec="hours")) != hour:
            hour = now
            yield _as_json([_say_time(local)])
        yield _message_line(piece)


def _message_line(piece: Piece) -> str:
    message = piece.message
    # A role is one word, so whatever follows it is the name.
    speaker = message.role.value if message.name is None else f"{message.role.value} {message.name}"
    marks = ["context"] if piece.is_context else []
    if piece.part is not None:
        marks.append(f"part {piece.part}")
    line = [piece.number, speaker, piece.content]
    return _as_json([*line, " ".join(marks)] if marks else line)


def _say_time(local: datetime) -> str:
    """The weekday stands beside the date: "last Friday" is counted from it."""
    return f"{_DAYS[local.weekday()]} {local.isoformat(timespec='minutes')}"


def _as_json(value: object) -> str:
    return _encode(value).translate(_HIDDEN_BREAKS)


def _escaped_length(text: str) -> int:
    return len(_as_json(text)) - 2
