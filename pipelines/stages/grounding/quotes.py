"""Finds a quote in a message, however its whitespace and typography were changed on the way."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

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
    wanted = _normalise(quote)
    if not wanted:
        return None
    stripped = quote.strip()
    for part in parts:
        if stripped in part:
            return stripped
        if wanted in _normalise(part):
            found = _locate(wanted, part)
            if found is not None:
                return found
    return None


def _normalise(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text.translate(_TYPOGRAPHY)).translate(_TYPOGRAPHY)
    return " ".join(plain.split())


def _locate(wanted: str, part: str) -> str | None:
    """The stretch of a part whose normalised form is the wanted one."""
    characters: list[str] = []
    origins: list[int] = []
    for start, cluster in _clusters(part):
        for character in _normalise(cluster) or (" " if cluster.isspace() else ""):
            if character != " " or (characters and characters[-1] != " "):
                characters.append(character)
                origins.append(start)
    offset = "".join(characters).find(wanted)
    if offset < 0:
        return None
    last = origins[offset + len(wanted) - 1]
    end = next((start for start, _ in _clusters(part[last:]) if start > 0), len(part) - last)
    return part[origins[offset] : last + end]


def _clusters(text: str) -> Iterable[tuple[int, str]]:
    """Each character with the combining marks behind it."""
    start = 0
    for position in range(1, len(text) + 1):
        if position == len(text) or not unicodedata.combining(text[position]):
            yield start, text[start:position]
            start = position
