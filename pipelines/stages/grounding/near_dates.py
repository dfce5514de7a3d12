"""Days that an incomplete date may mean: "on Friday", "9 June", "in October", "the 26th"."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING

from pipelines.stages.dates import MONTHS, WEEKDAYS, DateMention

if TYPE_CHECKING:
    from collections.abc import Iterator

_MONTH_NUMBERS = {name[:3].casefold(): number for number, name in enumerate(MONTHS, start=1)}
_DAY_NUMBERS = {name[:3].casefold(): number for number, name in enumerate(WEEKDAYS)}
_SHORT_MONTHS = "Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec"
_MONTH = rf"(?P<month>{'|'.join(MONTHS)}|(?:{_SHORT_MONTHS})\b\.?)"
_ORDINAL = r"(?:st|nd|rd|th)?"
_INCOMPLETE = re.compile(
    rf"\b(?:(?P<day>\d{{1,2}}){_ORDINAL}(?: of)? )?{_MONTH}(?: (?P<after>\d{{1,2}}){_ORDINAL})?\b"
    r"(?!,? \d{4})"
    rf"|\bthe (?P<only>\d{{1,2}})(?:st|nd|rd|th)\b"
    rf"|\b(?P<weekday>{'|'.join(WEEKDAYS)}|Mon|Tues?|Wed|Thurs?|Fri|Sat)\b"
)
_WEEK = 7


def nearest_days(text: str, said_on: date) -> list[DateMention]:
    """For each date without its year or month, the nearest before and after it was said."""
    return [
        DateMention(found.start(), found.end(), first, last, "")
        for found in _INCOMPLETE.finditer(text)
        for first, last in _spans(found, said_on)
    ]


def _spans(found: re.Match[str], said_on: date) -> Iterator[tuple[date, date]]:
    if found["weekday"]:
        away = (_DAY_NUMBERS[found["weekday"][:3].casefold()] - said_on.weekday()) % _WEEK
        for days in (away, away - _WEEK):
            yield _single(said_on + timedelta(days=days))
    elif found["only"]:
        for month in range(-1, 3):
            yield from _day_of(said_on.year, said_on.month + month, int(found["only"]))
    else:
        number = _MONTH_NUMBERS[found["month"][:3].casefold()]
        day = found["day"] or found["after"]
        for year in _years(number, said_on):
            yield from _day_of(year, number, int(day)) if day else _whole(year, number)


def _years(month: int, said_on: date) -> tuple[int, int]:
    """The years of the nearest such month before and after."""
    if month == said_on.month:
        return said_on.year, said_on.year
    past = said_on.year - (month > said_on.month)
    return past, past + 1


def _single(day: date) -> tuple[date, date]:
    return day, day


def _day_of(year: int, month: int, day: int) -> Iterator[tuple[date, date]]:
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    try:
        yield _single(date(year, month, day))
    except ValueError:
        return


def _whole(year: int, month: int) -> Iterator[tuple[date, date]]:
    following = date(year + month // 12, month % 12 + 1, 1)
    yield date(year, month, 1), following - timedelta(days=1)
