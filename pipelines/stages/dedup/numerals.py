"""Numbers written in words, as digits."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_BELOW_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TIMES_TEN = "twenty thirty forty fifty sixty seventy eighty ninety"
_SMALL = {word: number for number, word in enumerate(_BELOW_TWENTY.split())}
_TENS = {word: 10 * number for number, word in enumerate(_TIMES_TEN.split(), start=2)}
_UNITS = {word: number for word, number in _SMALL.items() if 0 < number < 10}  # noqa: PLR2004 - one digit
_MULTIPLES = {"hundred": 100, "dozen": 12}
_GROUPS = {"thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
_SCALES = frozenset(_MULTIPLES) | frozenset(_GROUPS)
_NUMBER_WORDS = frozenset(_SMALL) | frozenset(_TENS) | _SCALES
_ORDINALS = {
    "first": "1st", "second": "2nd", "third": "3rd", "fourth": "4th", "fifth": "5th",
    "sixth": "6th", "seventh": "7th", "eighth": "8th", "ninth": "9th", "tenth": "10th",
}  # fmt: skip
_NUMERAL = re.compile(r"\d+(?:\.\d+)?")
# "the one", "no one", "one of them": a pronoun, not a number.
_BEFORE_PRONOUN = frozenset(
    ("no", "the", "this", "that", "which", "any", "some", "every", "each", "another", "last",
     "next", "new", "only", "first")
)  # fmt: skip

_Read = tuple[Decimal, int]


def in_digits(words: Sequence[str]) -> list[str]:
    """The same words with numbers in digits: twenty-five, two hundred and five, third."""
    folded: list[str] = []
    lowered = [*map(str.lower, words), ""]
    position = 0
    while position < len(words):
        is_number = _may_begin(lowered[position], lowered[position + 1])
        read = _number_at(words, position) if is_number else None
        if read is None:
            folded.append(_ORDINALS.get(lowered[position], words[position]))
            position += 1
        else:
            value, after = read
            is_numeral = after == position + 1 and words[position][0].isdigit()
            folded.append(words[position] if is_numeral else plain(value))
            position = after
    return folded


def _may_begin(word: str, following: str) -> bool:
    """A numeral by itself is in digits already."""
    return following in _SCALES if word[0].isdigit() else word in _NUMBER_WORDS


def plain(value: Decimal) -> str:
    """A number without trailing zeros or exponent."""
    return format(value.normalize(), "f")


def _number_at(words: Sequence[str], start: int) -> _Read | None:
    if _is_pronoun(words, start):
        return None
    total, position, limit = Decimal(0), start, max(_GROUPS.values()) + 1
    while read := _group_at(words, position, is_first=position == start):
        part, after = read
        scale = _GROUPS.get(_word(words, after), 1)
        if scale >= limit:
            break
        total += part * scale if scale > 1 else part
        position = after + (scale > 1)
        if scale == 1:
            break
        limit = scale
        position += (
            _word(words, position) == "and" and _below_hundred(words, position + 1) is not None
        )
    return (total, position) if position > start else None


def _group_at(words: Sequence[str], position: int, *, is_first: bool) -> _Read | None:
    """A number below a thousand; numerals and a bare "hundred" or "thousand" only to begin."""
    word = _word(words, position)
    if is_first and word in _GROUPS:
        return Decimal(1), position
    if is_first and _NUMERAL.fullmatch(word):
        value, position = Decimal(word), position + 1
    elif is_first and word in _MULTIPLES:
        value = Decimal(1)
    else:
        read = _below_hundred(words, position)
        if read is None:
            return None
        value, position = read
    return _multiplied(words, value, position)


def _multiplied(words: Sequence[str], value: Decimal, position: int) -> _Read:
    multiple = _word(words, position)
    if multiple not in _MULTIPLES:
        return value, position
    value, position = value * _MULTIPLES[multiple], position + 1
    rest = _below_hundred(words, position + (_word(words, position) == "and"))
    return (value + rest[0], rest[1]) if rest and multiple == "hundred" else (value, position)


def _below_hundred(words: Sequence[str], position: int) -> _Read | None:
    word = _word(words, position)
    if word in _TENS:
        unit = _UNITS.get(_word(words, position + 1), 0)
        return Decimal(_TENS[word] + unit), position + 1 + (unit > 0)
    return (Decimal(_SMALL[word]), position + 1) if word in _SMALL else None


def _word(words: Sequence[str], position: int) -> str:
    return words[position].lower() if position < len(words) else ""


def _is_pronoun(words: Sequence[str], position: int) -> bool:
    if _word(words, position) != "one":
        return False
    before = _word(words, position - 1) if position else ""
    return before in _BEFORE_PRONOUN or _word(words, position + 1) in {"of", "another"}
