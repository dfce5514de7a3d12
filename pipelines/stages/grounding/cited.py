"""A message as evidence: what it says itself, outside recalled and posed text, read once."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.model import Role
from pipelines.stages.dates import DateMention, local_day, mentions_time, resolve_dates, say_day
from pipelines.stages.grounding.near_dates import nearest_days
from pipelines.stages.grounding.posed import cut_posed
from pipelines.stages.grounding.quotes import QuotedText, find_in
from pipelines.stages.grounding.support import Support, read_support
from pipelines.stages.injection.fence import unfenced_parts
from pipelines.stages.injection.orders import is_memory_order
from pipelines.stages.wordlist import word_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipelines.model import Message

_DISPLAY = {
    Role.USER: "User",
    Role.ASSISTANT: "Assistant",
    Role.SYSTEM: "System",
    Role.TOOL: "Tool",
}
_QUESTION = re.compile(r"(?:[^.!?\u00bf\n]|[.!](?=\S)){1,400}\?")
_SENTENCE_END = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)]*(?=\s|$)|\n")
_LONG_FIGURE = re.compile(r"\d{31,}")
_MAX_CONTEXT = 300
_MAX_PASSAGE = 4000
# A longer message is read in stretches: what stands far from a quote says nothing about it, and
# each draft costs the same, however much was pasted around it.
_STRETCH = 16_000
# What stands at the seam of two stretches stands whole in one of them.
_OVERLAP = 2_500
_ENGLISH = word_set(
    """
    the a an i i'm my is are was and of to in it you we our that this for with on have has had not
    do did at be me your he she they but so am from what how
    """
)
_OTHER_LANGUAGES = word_set(
    """
    ich und der die das ist nicht mit ein eine f\u00fcr wir auf den dem mein meine habe bei seit
    als sehr auch el la los las que y en un una mi con por para soy tengo vivo se est\u00e1 muy le
    les je et est une des du mon ma pas pour avec dans suis il che di non sono ho mio e per o os as
    n\u00e3o eu meu minha tenho com em moro ik het een en mijn niet van met jag och att det som inte
    jestem mam nie w na si\u0119 mieszkam moja
    """
)


def display_speaker(message: Message) -> str:
    """Who spoke, as evidence and statements name them."""
    return message.name or _DISPLAY[message.role]


class Cited:
    """A message of a transcript, or a stretch of a long one; many drafts cite it, read once."""

    def __init__(self, message: Message, time_zone: str, *, is_stretch: bool = False) -> None:
        self.message = message
        self.speaker = display_speaker(message)
        self._time_zone = time_zone
        self._is_stretch = is_stretch
        self._cursor = 0

    @cached_property
    def parts(self) -> list[str]:
        """The stretches of the message that are its own."""
        return [own for part in self._unfenced for own in cut_posed(part, self.message.role)]

    @cached_property
    def stretches(self) -> list[Cited]:
        """Itself, or what a long message is read in."""
        if sum(map(len, self.parts)) <= _STRETCH:
            return [self]
        return [self._stretch(parts) for parts in _cut(self.parts)]

    @cached_property
    def _unfenced(self) -> list[str]:
        return unfenced_parts(self.message.content)

    @cached_property
    def texts(self) -> list[QuotedText]:
        """The parts, to look for quotes in."""
        return [QuotedText(part) for part in self.parts]

    @cached_property
    def _unfenced_texts(self) -> list[QuotedText]:
        return [QuotedText(part) for part in self._unfenced]

    @cached_property
    def _content(self) -> QuotedText:
        return QuotedText(self.message.content)

    def _stretch(self, parts: list[str]) -> Cited:
        stretch = Cited(self.message, self._time_zone, is_stretch=True)
        stretch.parts = parts
        return stretch

    @cached_property
    def support(self) -> Support:
        """The words and numbers it says."""
        return read_support("\n".join(self.parts))

    @cached_property
    def questions(self) -> list[str]:
        """What it asks."""
        return [found.strip() for part in self.parts for found in _QUESTION.findall(part)]

    @cached_property
    def asked(self) -> Support:
        """The words and numbers of its questions."""
        return read_support("\n".join(self.questions))

    @cached_property
    def dates(self) -> list[DateMention]:
        """The day on which it was said and every day that it means or may mean."""
        said_on = local_day(self.message.created_at, self._time_zone)
        own = DateMention(0, 0, said_on, said_on, say_day(said_on))
        return [own, *self.told_dates]

    @cached_property
    def told_dates(self) -> list[DateMention]:
        """Every day that its text means or, said without a year or month, may mean; each once."""
        said_on = local_day(self.message.created_at, self._time_zone)
        found = (
            date
            for part in self.parts
            for date in (*resolve_dates(part, said_on), *nearest_days(part, said_on))
        )
        return list({(date.first, date.last, date.label): date for date in found}.values())

    @cached_property
    def speaks_of_time(self) -> bool:
        """Whether it mentions any time, however vaguely."""
        return any(mentions_time(part) for part in self.parts)

    @cached_property
    def is_english(self) -> bool:
        """Whether it seems to be; too short a text is taken for English."""
        words = [word.casefold() for part in self.parts for word in part.split()[:400]]
        if sum(not word.isascii() and word[0].isalpha() for word in words) > len(words) / 2:
            return False
        english = sum(word in _ENGLISH for word in words)
        return english >= sum(word in _OTHER_LANGUAGES for word in words)

    @cached_property
    def gives_orders(self) -> bool:
        """Whether anything in it is an order to the memory, also what only poses as its own."""
        if self._is_stretch:
            return any(map(is_memory_order, self.parts))
        return is_memory_order(self.message.content)

    @property
    def asks(self) -> bool:
        """Whether it asks anything."""
        return bool(self.questions)

    def locate(self, quote: str) -> tuple[Cited, str] | None:
        """The stretch in which a quote stands, and the quote as it stands there.

        Drafts come in the order of the text, so the search starts where the last one ended.
        """
        for number in (*range(self._cursor, len(self.stretches)), *range(self._cursor)):
            found = find_in(quote, self.stretches[number].texts)
            if found is not None:
                self._cursor = number
                return self.stretches[number], found
        found = find_in(quote, self.texts) if len(quote) > _OVERLAP else None
        return None if found is None else (self, found)

    def passage(self, found: str) -> str:
        """The whole sentences that a found quote touches, without endless figures."""
        for part in self.parts:
            position = part.find(found)
            if position >= 0:
                text = _sentences_around(part, position, position + len(found))
                return _LONG_FIGURE.sub(" ", text[:_MAX_PASSAGE])
        return found[:_MAX_PASSAGE]

    def is_only_recalled(self, quote: str) -> bool:
        """Whether a quote that is not found stands inside recalled text."""
        if find_in(quote, [self._content]) is None:
            return False
        return find_in(quote, self._unfenced_texts) is None

    def is_only_posed(self, quote: str) -> bool:
        """Whether it stands in a line that poses as a message of somebody else."""
        return find_in(quote, self._unfenced_texts) is not None

    def context(self) -> str:
        """What it adds to another message's quote: its last question or its beginning."""
        text = self.parts[0].strip() if self.parts else ""
        questions = _QUESTION.findall(text[-_MAX_CONTEXT:])
        return questions[-1].strip() if questions else text[:_MAX_CONTEXT].strip()


def _sentences_around(text: str, start: int, end: int) -> str:
    """A stretch of a text, grown to the ends of its sentences."""
    far = max(0, start - _MAX_PASSAGE)
    begin = max((cut.end() for cut in _SENTENCE_END.finditer(text, far, start)), default=far)
    closing = _SENTENCE_END.search(text, max(begin, end - 1))
    return text[begin : closing.end() if closing else len(text)].strip()


def _cut(parts: Sequence[str]) -> Iterator[list[str]]:
    """The parts of a long message in groups that are short enough to be read again and again."""
    group: list[str] = []
    size = 0
    for piece in (piece for part in parts for piece in _pieces(part)):
        if group and size + len(piece) > _STRETCH:
            yield group
            group, size = [], 0
        group.append(piece)
        size += len(piece)
    yield group


def _pieces(part: str) -> Iterator[str]:
    start = 0
    while len(part) - start > _STRETCH:
        yield part[start : start + _STRETCH]
        start += _STRETCH - _OVERLAP
    yield part[start:]
