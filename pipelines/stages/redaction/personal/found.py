"""What the finders of personal data answer with."""

from __future__ import annotations

from typing import NamedTuple


class Found(NamedTuple):
    """Personal data in a text.

    Attributes:
        key: The same for all spellings of one value.
    """

    start: int
    end: int
    key: str


def plain_key(text: str) -> str:
    """The letters and digits of a text, the rest being a matter of spelling."""
    return "".join(filter(str.isalnum, text.casefold()))
