"""Numbers with their units, and dates, read out of a statement's tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from pipelines.stages.dedup import lexicon
from pipelines.stages.dedup.numerals import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


@dataclass(frozen=True, slots=True, order=True)
class Quantity:
    """A number and what it counts.

    Attributes:
        measure: Dimension of a known unit, ``ordinal``, or the word after the number.
        amount: In the dimension's base unit; of other numbers the digits as written.
        unit: The unit as written, empty if it is none that is known.
    """

    measure: str
    amount: str
    digits: str = field(compare=False)
    unit: str = field(default="", compare=False)

    @property
    def size(self) -> tuple[str, str]:
        """The bare number, or the amount in its dimension where the unit is known."""
        return (self.measure if self.unit else "", self.amount)


@dataclass(frozen=True, slots=True)
class Figures:
    """What of a statement is number or date, and the positions of tokens that say it."""

    quantities: frozenset[Quantity]
    dates: frozenset[tuple[str, str]]
    spoken_for: frozenset[int]


_DAY = re.compile(r"([0-3]?\d)(?:st|nd|rd|th)?", re.IGNORECASE)
_YEAR = re.compile(r"(?:19|20)\d\d")
_DECADE = re.compile(r"(?:(?:19|20)?\d0)s", re.IGNORECASE)
_ISO = re.compile(r"(\d{4})[-/](\d{1,2})[-/](\d{1,2})")
_DOTTED = re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})")
_SLASHED = re.compile(r"\d{1,2}/\d{1,2}(?:/\d{2,4})?|\d{1,2}-\d{1,2}-\d{2,4}")
_CLOCK = re.compile(r"(\d{1,2}):(\d\d)(?::(\d\d))?(am|pm)?", re.IGNORECASE)
_HOUR = re.compile(r"(\d{1,2})(am|pm)", re.IGNORECASE)
_ATTACHED = re.compile(r"([-+]?\d+(?:\.\d+)?)([a-z]+)", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?\d+(?:[.,/-]\d+)*")
_AMOUNT = re.compile(r"[-+]?\d+(?:\.\d+)?")
_ORDINAL = re.compile(r"(\d+)(?:st|nd|rd|th)", re.IGNORECASE)
_HOURS = 24
_SAID = frozenset(("once", "twice", "noon", "midnight"))
_Found = tuple[set[tuple[str, str]], set[int]]


def read_figures(words: Sequence[str]) -> Figures:
    """Dates first, then what numbers are left."""
    lowered = [word.lower() for word in words]
    figures = [at for at, word in enumerate(lowered) if _is_figure(word)]
    dates, taken = _dates(words, lowered, figures)
    quantities: list[Quantity] = []
    for position in figures:
        if position not in taken:
            quantities += _quantity_at(lowered, position, taken)
    return Figures(frozenset(_summed(quantities)), frozenset(dates), frozenset(taken))


def _is_figure(word: str) -> bool:
    """Whether a word can be a number by itself; names of days and months are none."""
    return word[0].isdigit() or word[0] in "+-" or word in _SAID


def _dates(words: Sequence[str], lowered: Sequence[str], figures: Iterable[int]) -> _Found:
    dates: set[tuple[str, str]] = set()
    taken: set[int] = set()
    for position, word in enumerate(lowered):
        if word in lexicon.WEEKDAYS:
            dates.add(("weekday", lexicon.WEEKDAYS[word]))
            taken.add(position)
        elif _is_month(words, lowered, position):
            dates.add(("month", lexicon.MONTHS[word]))
            taken.add(position)
            for day_at in _day_beside(lowered, position):
                dates.add(("day", _day(lowered[day_at])))
                taken.add(day_at)
    for position in set(figures) - taken:
        parts = list(_written_date(lowered, position))
        dates.update(part for part, _ in parts)
        taken.update(at for _, at in parts)
    return dates, taken


def _is_month(words: Sequence[str], lowered: Sequence[str], position: int) -> bool:
    word = lowered[position]
    if word not in lexicon.MONTHS:
        return False
    if word not in lexicon.AMBIGUOUS_MONTHS and len(word) > len("sept"):
        return True
    before = lowered[position - 1] if position else ""
    return words[position][:1].isupper() and (
        before in lexicon.BEFORE_MONTH
        or next(_day_beside(lowered, position), None) is not None
        or bool(_YEAR.fullmatch(_at(lowered, position + 1)))
    )


def _day_beside(lowered: Sequence[str], month_at: int) -> Iterator[int]:
    places = [month_at + 1, month_at - 1]
    if _at(lowered, month_at - 1) == "of":
        places[1] = month_at - 2
    for place in places:
        if _DAY.fullmatch(_at(lowered, place)):
            yield place
            return


def _day(word: str) -> str:
    return re.sub(r"\D", "", word).lstrip("0")


def _written_date(lowered: Sequence[str], position: int) -> Iterator[tuple[tuple[str, str], int]]:
    """Date parts that one token (and an "am", "pm" or "o'clock" after it) spells out."""
    word, following = lowered[position], _at(lowered, position + 1)
    if match := _ISO.fullmatch(word):
        for part, value in zip(("year", "month", "day"), match.groups(), strict=True):
            yield (part, value.lstrip("0")), position
    elif match := _DOTTED.fullmatch(word):
        for part, value in zip(("day", "month", "year"), match.groups(), strict=True):
            yield (part, value.lstrip("0")), position
    elif _SLASHED.fullmatch(word) and word.count("/") + word.count("-") > 1:
        yield ("written", word), position
    elif _DECADE.fullmatch(word):
        yield ("decade", word), position
    elif _YEAR.fullmatch(word) and _at(lowered, position - 1) not in lexicon.UNITS:
        yield ("year", word), position
    else:
        yield from _clock(word, following, position)


def _clock(word: str, following: str, position: int) -> Iterator[tuple[tuple[str, str], int]]:
    half = following if following in {"am", "pm"} else ""
    if match := _CLOCK.fullmatch(word):
        if int(match[1]) < _HOURS and int(match[2]) < 60:  # noqa: PLR2004 - minutes of an hour
            yield ("clock", _minutes(match[1], match[2], match[4] or half)), position
            if half:
                yield ("clock", _minutes(match[1], match[2], half)), position + 1
    elif match := _HOUR.fullmatch(word):
        yield ("clock", _minutes(match[1], "0", match[2])), position
    elif word.isdecimal() and (half or following == "oclock"):
        yield ("clock", _minutes(word, "0", half)), position
        yield ("clock", _minutes(word, "0", half)), position + 1
    elif word in {"noon", "midnight"}:
        yield ("clock", "720" if word == "noon" else "0"), position


def _minutes(hours: str, minutes: str, half: str) -> str:
    hour = int(hours) % 12 + 12 * (half == "pm") if half else int(hours)
    return str(60 * hour + int(minutes))


def _quantity_at(lowered: Sequence[str], position: int, taken: set[int]) -> Iterator[Quantity]:
    """The number at a position; marks it and its unit as taken."""
    word = lowered[position]
    if word in {"once", "twice"}:
        taken.add(position)
        digits = "1" if word == "once" else "2"
        yield Quantity("count", digits, digits, "times")
    elif match := _ORDINAL.fullmatch(word):
        taken.add(position)
        yield Quantity("ordinal", match[1], match[1])
    elif match := _CLOCK.fullmatch(word):
        taken.add(position)
        seconds = 60 * int(match[1]) + int(match[2])
        total = str(seconds if not match[3] else 60 * seconds + int(match[3]))
        yield Quantity("time", total, word, "seconds")
    elif _NUMBER.fullmatch(word):
        yield _with_unit(lowered, position, word, taken)
    elif match := _ATTACHED.fullmatch(word):
        yield from _attached(lowered, position, match, taken)


def _with_unit(lowered: Sequence[str], position: int, digits: str, taken: set[int]) -> Quantity:
    taken.add(position)
    for place in (position - 1, position + 1):
        unit = _at(lowered, place)
        dimension = lexicon.UNITS.get(unit, ("", ""))[0]
        if dimension and (place > position or dimension in lexicon.CURRENCIES):
            taken.add(place)
            return _measured(digits, unit)
    return Quantity(_counted(_at(lowered, position + 1)), digits, digits)


def _attached(
    lowered: Sequence[str], position: int, match: re.Match[str], taken: set[int]
) -> Iterator[Quantity]:
    """82kg is 82 kg, $1.5k is $1500; 5k alone, v2 or 3rd-party names stay as they are."""
    digits, suffix = match.groups()
    currency = next(
        (
            place
            for place in (position - 1, position + 1)
            if lexicon.UNITS.get(_at(lowered, place), ("", ""))[0] in lexicon.CURRENCIES
        ),
        None,
    )
    taken.add(position)
    if suffix == "k" and currency is not None:
        taken.add(currency)
        yield _measured(plain(Decimal(digits) * 1000), lowered[currency])
    elif suffix in lexicon.UNITS:
        yield _measured(digits, suffix)
    else:
        yield Quantity("", match[0], match[0])


def _measured(digits: str, unit: str) -> Quantity:
    dimension, size = lexicon.UNITS[unit]
    if not _AMOUNT.fullmatch(digits):
        return Quantity(dimension, digits, digits, unit)
    return Quantity(dimension, plain(Decimal(digits) * Decimal(size)), digits, unit)


def _summed(quantities: list[Quantity]) -> list[Quantity]:
    """Add what is said in parts: 1 hour 30 minutes is 90 minutes, 2-3 hours are no sum."""
    summed: list[Quantity] = []
    for quantity in quantities:
        last = summed[-1] if summed else None
        if (
            last is not None
            and quantity.measure == last.measure == "time"
            and quantity.unit
            and _AMOUNT.fullmatch(last.amount)
            and _AMOUNT.fullmatch(quantity.amount)
            and _size(last) > _size(quantity)
        ):
            total = plain(Decimal(last.amount) + Decimal(quantity.amount))
            summed[-1] = Quantity("time", total, total, quantity.unit)
        else:
            summed.append(quantity)
    return summed


def _size(quantity: Quantity) -> Decimal:
    return Decimal(lexicon.UNITS[quantity.unit][1]) if quantity.unit else Decimal(0)


def _counted(word: str) -> str:
    if not word.isalpha() or word in lexicon.FUNCTION_WORDS:
        return ""
    return word.removesuffix("s")


def _at(words: Sequence[str], position: int) -> str:
    return words[position] if 0 <= position < len(words) else ""
