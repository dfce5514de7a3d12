"""A message as evidence: what it says outside recalled text, read once."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.model import Role
from pipelines.stages.dates import DateMention, local_day, mentions_time, resolve_dates, say_day
from pipelines.stages.fence import unfenced_parts
from pipelines.stages.quotes import find_quote
from pipelines.stages.support import Support, read_support

if TYPE_CHECKING:
    from pipelines.model import Message

_DISPLAY = {
    Role.USER: "User",
    Role.ASSISTANT: "Assistant",
    Role.SYSTEM: "System",
    Role.TOOL: "Tool",
}
_ADDRESSED = re.compile(r"\b(?:you(?:r|rs|rself)?|thanks?|congrat\w*)\b", re.IGNORECASE)
_QUESTION = re.compile(r"[^.!?\n]+\?")
_MAX_CONTEXT = 300


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
        """The stretches of the message outside recalled text."""
        return unfenced_parts(self.message.content)

    @cached_property
    def support(self) -> Support:
        """The words and numbers it says."""
        return read_support("\n".join(self.parts))

    @cached_property
    def dates(self) -> list[DateMention]:
        """The day on which it was said and every day that it means."""
        said_on = local_day(self.message.created_at, self._time_zone)
        own = DateMention(0, 0, said_on, said_on, say_day(said_on))
        return [own, *(date for part in self.parts for date in resolve_dates(part, said_on))]

    @cached_property
    def speaks_of_time(self) -> bool:
        """Whether it mentions any time, however vaguely."""
        return any(mentions_time(part) for part in self.parts)

    @cached_property
    def addresses_someone(self) -> bool:
        """Whether it speaks to someone: "you", "thanks"."""
        return any(_ADDRESSED.search(part) for part in self.parts)

    @cached_property
    def asks(self) -> bool:
        """Whether it asks anything."""
        return any("?" in part for part in self.parts)

    def find(self, quote: str) -> str | None:
        """The quote as it stands in the message outside recalled text.

        Drafts come in the order of the text, so the search starts where the last one ended.
        """
        if len(self.parts) == 1 and (wanted := quote.strip()):
            position = self.parts[0].find(wanted, self._cursor)
            if position >= 0:
                self._cursor = position
                return wanted
        return find_quote(quote, self.parts)

    def is_only_recalled(self, quote: str) -> bool:
        """Whether a quote that is not found stands inside recalled text."""
        return find_quote(quote, [self.message.content]) is not None

    def context(self) -> str:
        """What it adds to another message's quote: its last question or its beginning."""
        text = self.parts[0].strip() if self.parts else ""
        questions = _QUESTION.findall(text[-_MAX_CONTEXT:])
        return questions[-1].strip() if questions else text[:_MAX_CONTEXT].strip()
