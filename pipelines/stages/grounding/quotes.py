"""Finds a quote in a message, however its whitespace and typography were changed on the way."""

from __future__ import annotations

import unicodedata
from array import array
from functools import cached_property
from typing import TYPE_CHECKING

from pipelines.stages.composed import compatible

if TYPE_CHECKING:
    from collections.abc import Iterable

_TYPOGRAPHY = str.maketrans(
    dict.fromkeys("\u2018\u2019\u201a\u201b\u2032`\u00b4", "'")
    | dict.fromkeys("\u201c\u201d\u201e\u201f\u2033«»", '"')
    | dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-")
    | dict.fromkeys("\u200b\u2060\ufeff\u00ad", None)
)


def find_quote(quote: str, parts: Iterable[str]) -> str | None:
    """The quote as it verbatim stands in one of the parts; None if it stands in none.

    Whitespace, quotation marks, dashes and compatible Unicode forms count as equal; case and
    words do not.
    """
    return find_in(quote, map(QuotedText, parts))


def find_in(quote: str, texts: Iterable[QuotedText]) -> str | None:
    """The same in texts that are searched for many quotes."""
    stripped, wanted = quote.strip(), _normalise(quote)
    if not wanted:
        return None
    return next((found for text in texts if (found := text.find(stripped, wanted))), None)


class QuotedText:
    """A text that many quotes are looked for in; it is normalised once."""

    def __init__(self, text: str) -> None:
        self._text = text

    def find(self, stripped: str, wanted: str) -> str | None:
        """A quote as it stands here, given without blanks around it and normalised."""
        if stripped in self._text:
            return stripped
        return self._locate(wanted) if wanted in self._normal else None

    @cached_property
    def _normal(self) -> str:
        return _normalise(self._text)

    @cached_property
    def _mapped(self) -> tuple[str, array[int]]:
        """The normalised characters, and where in the text each of them comes from."""
        characters: list[str] = []
        origins = array("I")
        for start, cluster in _clusters(self._text):
            for character in _normalise(cluster) or (" " if cluster.isspace() else ""):
                if character != " " or (characters and characters[-1] != " "):
                    characters.append(character)
                    origins.append(start)
        return "".join(characters), origins

    def _locate(self, wanted: str) -> str | None:
        """The stretch whose normalised form is the wanted one."""
        characters, origins = self._mapped
        offset = characters.find(wanted)
        if offset < 0:
            return None
        last = origins[offset + len(wanted) - 1]
        return self._text[origins[offset] : _cluster_end(self._text, last)]


def _normalise(text: str) -> str:
    plain = compatible(text.translate(_TYPOGRAPHY)).translate(_TYPOGRAPHY)
    return " ".join(plain.split())


def _clusters(text: str) -> Iterable[tuple[int, str]]:
    """Each character with the combining marks behind it."""
    start = 0
    while start < len(text):
        end = _cluster_end(text, start)
        yield start, text[start:end]
        start = end


def _cluster_end(text: str, start: int) -> int:
    end = start + 1
    while end < len(text) and unicodedata.combining(text[end]):
        end += 1
    return end
