"""Lists of words and phrases as text: readable in the source, sets and patterns in use."""

from __future__ import annotations

import re


def word_set(text: str) -> frozenset[str]:
    """The words of a text, separated by any whitespace."""
    return frozenset(text.split())


def any_of(text: str) -> str:
    """A regular expression for any of the phrases of a text, one phrase a line."""
    return f"(?:{'|'.join(line.strip() for line in text.splitlines() if line.strip())})"


def phrase_pattern(text: str) -> re.Pattern[str]:
    """The phrases of a text, one a line, as whole words in any case."""
    return re.compile(rf"\b{any_of(text)}(?!\w)", re.IGNORECASE)


def straight(text: str) -> str:
    """A text of the same length with plain apostrophes, as patterns expect them."""
    return text.replace("\u2019", "'")
