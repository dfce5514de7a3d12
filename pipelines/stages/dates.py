"""Resolves "yesterday" and its kin against the day on which something was said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_COUNTS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
    "eight": 8, "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "fifteen": 15, "twenty": 20,
    "thirty": 30, "couple": 2, "a couple": 2, "a couple of": 2,
}  # fmt: skip

_DAY_NUMBERS = {name[:3].casefold(): number for number, name in enumerate(WEEKDAYS)}
_MONTH_NUMBERS = {name[:3].casefold(): number for number, name in enumerate(MONTHS, start=1)}
_LETTERS = re.compile(r"\b[a-z]{3}")
_CALENDAR_UNITS = frozenset({"weekend", "week", "month", "year"})
_MONTH_NAMES = (
    "Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?"
    "|Sep(?:t|tember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?"
)
_DAY_NAMES = "|".join(WEEKDAYS)
_SHORT_DAYS = "Mon|Tues?|Wed|Thurs?|Fri|Sat|Sun"
_COUNT_WORDS = "|".join(sorted(_COUNTS, key=len, reverse=True)).replace(" ", r"\ ")
_COUNT = rf"(?:\d{{1,3}}|{_COUNT_WORDS})"
_EXPRESSION = re.compile(
    rf"""\b(?:
        (?P<ago>{_COUNT}\ (?:day|weekend|week|fortnight|month|year|decade)s?\ (?:ago|back)\b)
      | (?P<ahead>in\ {_COUNT}\ (?:day|week|month|year)s?(?:['\u2019]\ time)?\b(?!\ (?:row|of)))
      | (?P<day>(?:the\ )?day\ (?:before\ yesterday|after\ tomorrow)
          | (?:yesterday|tomorrow)(?:\ (?:morning|afternoon|evening|night))?
          | last\ night | (?:earlier\ )?today | tonight | this\ (?:morning|afternoon|evening))\b
      | (?<!the\ )(?<!The\ )(?P<near>(?:last|this\ past|this\ coming|this|next|coming|past)[ ]
          (?:weekend|week|month|year|{"|".join(SEASONS)}|{_DAY_NAMES}|{_SHORT_DAYS}|{_MONTH_NAMES})\b)
      | (?P<weekday>on\ (?:{_DAY_NAMES}|{_SHORT_DAYS})\b)
      | (?P<iso>\d{{4}}-\d\d-\d\d)\b
      | (?P<dmy>\d{{1,2}}(?:st|nd|rd|th)?(?:\ of)?\ (?:{_MONTH_NAMES}),?\ \d{{4}})\b
      | (?P<mdy>(?:{_MONTH_NAMES})\ \d{{1,2}}(?:st|nd|rd|th)?,?\ \d{{4}})\b
      | (?P<my>(?:{_MONTH_NAMES})\ (?:of\ )?\d{{4}})\b
    )(?:['\u2019]s\b)?""",
    re.IGNORECASE | re.VERBOSE,
)
_BARE = re.compile(
    rf"\b(?:(?P<dm>\d{{1,2}}(?:st|nd|rd|th)?(?: of)? (?:{_MONTH_NAMES}))"
    rf"|(?P<md>(?:{_MONTH_NAMES}) \d{{1,2}}(?:st|nd|rd|th)?)"
    rf"|(?:(?<=in )|(?<=of )|(?<=since )|(?<=\()|(?<=, ))(?P<year>(?:19|20)\d\d)"
    rf"|(?P<month>{_MONTH_NAMES})|(?P<name>{_DAY_NAMES}))\b"
)
_HINT = re.compile(
    rf"yesterday|today|tonight|tomorrow|\bthis\b|\blast\b|\bnext\b|\bago\b|\bback\b|\bin\b|coming"
    rf"|\bpast\b|\d{{4}}|\bon (?:{_DAY_NAMES}|{_SHORT_DAYS})\b",
    re.IGNORECASE,
)
_TIME_WORD = re.compile(
    rf"\b(?:days?|nights?|weeks?|weekends?|months?|years?|decades?|ago|recent(?:ly)?|since|until"
    rf"|yesterday|today|tonight|tomorrow|last|next|{_DAY_NAMES}|{_MONTH_NAMES}|(?:19|20)\d\d)\b",
    re.IGNORECASE,
)
_FUTURE = re.compile(
    r"\b(?:will|going to|gonna|due|starts?|leav(?:e|es|ing)|plan(?:s|ning)?|won['\u2019]t)\b"
    r"|['\u2019]ll\b",
    re.IGNORECASE,
)
_PAST = re.compile(
    r"\b(?:was|were|had|did|went|got|came|saw|met|took|made|found|bought|won|lost|\w{2,}ed)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class DateMention:
    """An expression of time in a sentence and the days that it means.

    Attributes:
        start: Offset in the sentence; ``end`` is behind the expression.
        first: First day meant; ``last`` is the final one, the same for a single day.
        label: The days in words; empty when the sentence itself says them in full.
    """

    start: int
    end: int
    first: date
    last: date
    label: str


def local_day(moment: datetime, time_zone: str) -> date:
    """The calendar day of an instant where the user is."""
    return moment.astimezone(ZoneInfo(time_zone)).date()


def midday(day: date, time_zone: str) -> datetime:
    """Noon of a day where the user is: the instant that stands for "on that day"."""
    return datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(time_zone))


def resolve_dates(sentence: str, said_on: date) -> list[DateMention]:
    """Every expression of time whose days are certain, in order."""
    if not _HINT.search(sentence):
        return []
    mentions = (_resolve(match, sentence, said_on) for match in _EXPRESSION.finditer(sentence))
    return [mention for mention in mentions if mention is not None]


def mentions_time(text: str) -> bool:
    """Whether a text speaks of any time at all, however vaguely."""
    return _TIME_WORD.search(text) is not None


def annotate(sentence: str, mentions: list[DateMention]) -> str:
    """The sentence with each resolved date in parentheses behind its expression."""
    for mention in reversed(mentions):
        if mention.label:
            head, tail = sentence[: mention.end], sentence[mention.end :]
            sentence = f"{head} ({mention.label}){tail}"
    return sentence


def mask_known_dates(statement: str, known: Sequence[DateMention]) -> str:
    """A statement without the dates that its evidence bears out.

    A date is borne out by a known stretch of days when it is as exact or coarser ("May 2023"
    for 7 May 2023), or names its first or last day. What is left stays for other checks.
    """
    labels = {mention.label for mention in known if mention.label and mention.label in statement}
    for label in sorted(labels, key=len, reverse=True):
        statement = re.sub(rf"(?<!\w){re.escape(label)}(?!\w)", " ", statement)
    for mention in reversed(resolve_dates(statement, date.min)):
        if any(_bears_out(other, mention) for other in known):
            statement = f"{statement[: mention.start]} {statement[mention.end :]}"
    if not _BARE.search(statement):
        return statement
    days = {day for mention in known for day in (mention.first, mention.last)}
    parts: dict[str, Collection[object]] = {
        "name": {day.weekday() for day in days},
        "year": {day.year for day in days},
        "month": {day.month for day in days},
        "day": {(day.month, day.day) for day in days},
    }
    return _BARE.sub(lambda bare: " " if _is_part(bare, parts) else bare.group(), statement)


def _bears_out(known: DateMention, said: DateMention) -> bool:
    if said.first <= known.first and known.last <= said.last:
        return True
    return said.first == said.last and said.first in {known.first, known.last}


def _is_part(bare: re.Match[str], parts: Mapping[str, Collection[object]]) -> bool:
    """Whether a date without its year, or only a part of one, is that of a known day."""
    form, text = str(bare.lastgroup), bare.group()
    if form == "name":
        return _DAY_NUMBERS[text[:3].casefold()] in parts[form]
    if form == "year":
        return int(text) in parts[form]
    month = _MONTH_NUMBERS[_month_word(text)]
    if form == "month":
        return month in parts[form]
    return (month, int("".join(filter(str.isdigit, text)))) in parts["day"]


def say_day(day: date) -> str:
    """A day in words: ``7 May 2023``."""
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


Span = tuple[date, date, str]


def _resolve(match: re.Match[str], sentence: str, said_on: date) -> DateMention | None:
    form = match.lastgroup or ""
    phrase = " ".join(match[form].casefold().split())
    try:
        span = _READERS[form](phrase, sentence, said_on)
    except (ValueError, OverflowError):
        return None
    return DateMention(match.start(), match.end(), *span) if span else None


def _single(day: date) -> Span:
    return day, day, say_day(day)


def _week(day: date) -> Span:
    monday = day - timedelta(days=day.weekday())
    return monday, monday + timedelta(days=6), f"week of {say_day(monday)}"


def _weekend(day: date) -> Span:
    saturday = day - timedelta(days=day.weekday()) + timedelta(days=5)
    return saturday, saturday + timedelta(days=1), f"weekend of {say_day(saturday)}"


def _month(year: int, month: int) -> Span:
    year, month = year + (month - 1) // 12, (month - 1) % 12 + 1
    following = date(year + month // 12, month % 12 + 1, 1)
    return date(year, month, 1), following - timedelta(days=1), f"{MONTHS[month - 1]} {year}"


def _year(year: int) -> Span:
    return date(year, 1, 1), date(year, 12, 31), str(year)


def _shift(unit: str, count: int, said_on: date) -> Span:
    if unit == "day":
        return _single(said_on + timedelta(days=count))
    if unit in {"week", "fortnight"}:
        return _week(said_on + timedelta(weeks=count * (2 if unit == "fortnight" else 1)))
    if unit == "weekend":
        return _weekend(said_on + timedelta(weeks=count))
    if unit == "month":
        return _month(said_on.year, said_on.month + count)
    return _year(said_on.year + count * (10 if unit == "decade" else 1))


def _counted(text: str) -> int:
    return int(text) if text.isdigit() else _COUNTS[text]


def _read_ago(phrase: str, _: str, said_on: date) -> Span:
    *count, unit, _ago = phrase.split()
    return _shift(unit.removesuffix("s"), -_counted(" ".join(count)), said_on)


def _read_ahead(phrase: str, sentence: str, said_on: date) -> Span | None:
    if not _FUTURE.search(sentence):
        return None
    words = phrase.removesuffix(" time").rstrip("'\u2019").split()
    return _shift(words[-1].removesuffix("s"), _counted(" ".join(words[1:-1])), said_on)


def _read_day(phrase: str, _: str, said_on: date) -> Span:
    if "before yesterday" in phrase or "after tomorrow" in phrase:
        return _single(said_on + timedelta(days=-2 if "before" in phrase else 2))
    if "yesterday" in phrase or phrase == "last night":
        return _single(said_on - timedelta(days=1))
    return _single(said_on + timedelta(days="tomorrow" in phrase))


def _read_near(phrase: str, _: str, said_on: date) -> Span | None:
    which, _space, unit = phrase.rpartition(" ")
    step = -1 if which in {"last", "this past", "past"} else 1 if which == "next" else 0
    if unit in SEASONS:
        return _season(unit, step, said_on)
    if unit not in _CALENDAR_UNITS and unit[:3] in _DAY_NUMBERS:
        return _weekday(_DAY_NUMBERS[unit[:3]], which, said_on)
    if unit not in _CALENDAR_UNITS:
        return _named_month(_MONTH_NUMBERS[unit[:3]], step, said_on)
    if which == "past":
        return None
    return _shift(unit, step, said_on)


def _weekday(weekday: int, which: str, said_on: date) -> Span:
    ahead = (weekday - said_on.weekday()) % 7
    if which in {"last", "this past", "past"}:
        return _single(said_on + timedelta(days=ahead - 7 if ahead else -7))
    if which == "next":
        return _single(said_on + timedelta(days=weekday - said_on.weekday() + 7))
    return _single(said_on + timedelta(days=ahead))


def _named_month(month: int, step: int, said_on: date) -> Span:
    if step < 0:
        return _month(said_on.year - (month >= said_on.month), month)
    if step > 0:
        return _month(said_on.year + (month <= said_on.month), month)
    return _month(said_on.year, month)


def _season(name: str, step: int, said_on: date) -> Span:
    begin = SEASONS[name]
    is_over = said_on >= _month(said_on.year, begin + 3)[0]
    year = said_on.year
    if step < 0 and not is_over:
        year -= 1
    if step > 0 and said_on >= date(year, begin, 1):
        year += 1
    label = f"{name} {year}/{(year + 1) % 100:02d}" if name == "winter" else f"{name} {year}"
    return date(year, begin, 1), _month(year, begin + 2)[1], label


def _read_weekday(phrase: str, sentence: str, said_on: date) -> Span | None:
    weekday = _DAY_NUMBERS[phrase.split()[1][:3]]
    is_future, is_past = bool(_FUTURE.search(sentence)), bool(_PAST.search(sentence))
    if is_future == is_past:
        return None
    return _weekday(weekday, "last" if is_past else "coming", said_on)


def _month_word(text: str) -> str:
    """The first three letters of the month that a date names."""
    starts: list[str] = _LETTERS.findall(text.casefold())
    return next(start for start in starts if start in _MONTH_NUMBERS)


def _read_iso(phrase: str, _: str, __: date) -> Span:
    day = date.fromisoformat(phrase)
    return day, day, ""


def _read_full(phrase: str, _: str, __: date) -> Span:
    numbers = [int(number) for number in re.findall(r"\d+", phrase)]
    month = _MONTH_NUMBERS[_month_word(phrase)]
    day = date(numbers[1], month, numbers[0])
    return day, day, ""


def _read_month_year(phrase: str, _: str, __: date) -> Span:
    name, *_between, year = phrase.split()
    first, last, _label = _month(int(year), _MONTH_NUMBERS[name[:3]])
    return first, last, ""


_READERS: dict[str, Callable[[str, str, date], Span | None]] = {
    "ago": _read_ago,
    "ahead": _read_ahead,
    "day": _read_day,
    "near": _read_near,
    "weekday": _read_weekday,
    "iso": _read_iso,
    "dmy": _read_full,
    "mdy": _read_full,
    "my": _read_month_year,
}
