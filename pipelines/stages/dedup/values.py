"""Whether two values of one slot are the same value."""

from __future__ import annotations

import re

from pipelines.stages.dedup.normalise import STOP_TOKEN, statement_key, tokens
from pipelines.stages.dedup.places import REGIONS
from pipelines.stages.dedup.quantities import read_figures

_LEADING = frozenset({"in", "at", "on", "a", "an", "the"})
_TAIL = re.compile(r"^\s*([^,()]+?)\s*(?:,\s*([^,()]+?)|\(\s*([^,()]+?)\s*\))\s*$")


def same_value(a: str | None, b: str | None) -> bool:
    """Whether two values are spelled differently at most; symmetric.

    Amounts are compared by number and unit ("500 EUR", "€500"), a place may stand with or
    without its country or state ("Lisbon, Portugal"). An unknown value equals none, not even
    another unknown one.
    """
    if a is None or b is None:
        return False
    if statement_key(a) == statement_key(b):
        return True
    return _parts(a) == _parts(b) or _same_place(a, b)


def value_key(value: str) -> str:
    """What equal values have in common, as text: articles and case do not count."""
    quantities, dates, rest = _parts(value)
    figures = (" ".join(item) for item in sorted(quantities) + sorted(dates))
    return " ".join(part for part in (rest, *figures) if part)


def _parts(value: str) -> tuple[frozenset[tuple[str, str]], frozenset[tuple[str, str]], str]:
    """Amounts, dates and the words besides them."""
    words = tokens(value)
    figures = read_figures(words)
    rest = [
        word.casefold()
        for position, word in enumerate(words)
        if position not in figures.spoken_for and word != STOP_TOKEN
    ]
    while rest and rest[0] in _LEADING:
        rest = rest[1:]
    return frozenset(item.size for item in figures.quantities), figures.dates, " ".join(rest)


def _same_place(a: str, b: str) -> bool:
    (head_a, region_a), (head_b, region_b) = _place(a), _place(b)
    return head_a == head_b and (not region_a or not region_b) and region_a != region_b


def _place(value: str) -> tuple[str, str]:
    """The value without a country or state after it, and that."""
    match = _TAIL.match(value)
    region = statement_key(match[2] or match[3]) if match else ""
    if match and region in REGIONS:
        return statement_key(match[1]), region
    return statement_key(value), ""
