"""A message as evidence: what it says itself, outside recalled and posed text, read once."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.model import Role
from pipelines.stages.dates import DateMention, local_day, mentions_time, resolve_dates, say_day
from pipelines.stages.grounding.near_dates import nearest_days
from pipelines.stages.grounding.posed import cut_posed
from pipelines.stages.grounding.quotes import find_quote
from pipelines.stages.grounding.support import Support, read_support
from pipelines.stages.injection.fence import unfenced_parts
from pipelines.stages.injection.orders import is_memory_order
from pipelines.stages.wordlist import word_set

if TYPE_CHECKING:
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
    """One message of a transcript; reading it is cached, because many drafts cite it."""

    def __init__(self, message: Message, time_zone: str) -> None:
        self.message = message
        self.speaker = display_speaker(message)
        self._time_zone = time_zone
        self._cursor = 0

    @cached_property
    def parts(self) -> list[str]:
        """The stretches of the message that are its own."""
        unfenced = unfenced_parts(self.message.content)
        return [own for part in unfenced for own in cut_posed(part, self.message.role)]

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
        """Every day that its text means or, said without a year or month, may mean."""
        said_on = local_day(self.message.created_at, self._time_zone)
        return [
            date
            for part in self.parts
            for date in (*resolve_dates(part, said_on), *nearest_days(part, said_on))
        ]

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
        """Whether anything in it is an order to the memory."""
        return is_memory_order(self.message.content)

    @property
    def asks(self) -> bool:
        """Whether it asks anything."""
        return bool(self.questions)

    def find(self, quote: str) -> str | None:
        """The quote as it stands in the message's own text.

        Drafts come in the order of the text, so the search starts where the last one ended.
        """
        if len(self.parts) == 1 and (wanted := quote.strip()):
            position = self.parts[0].find(wanted, self._cursor)
            if position >= 0:
                self._cursor = position
                return wanted
        return find_quote(quote, self.parts)

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
        if find_quote(quote, [self.message.content]) is None:
            return False
        return find_quote(quote, unfenced_parts(self.message.content)) is None

    def is_only_posed(self, quote: str) -> bool:
        """Whether it stands in a line that poses as a message of somebody else."""
        return find_quote(quote, unfenced_parts(self.message.content)) is not None

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
