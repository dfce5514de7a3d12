"""Reads the time that somebody asks about, and spans of it."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta

from pipelines.errors import InputError

_SPAN = re.compile(r"(\d{1,6})([smhd])", re.ASCII)
_UNITS = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}


def read_moment(text: str, field: str, *, of_day: time = time.max) -> datetime:
    """A date and time in ISO 8601, in UTC where it names no offset.

    A bare date is its last moment, or the one that ``of_day`` says.

    Whoever asks how things stood on a day wants what was true when the day was over. The day is
    the one in UTC, as in the dates of a recall block.

    Raises:
        InputError: It is neither.
    """
    stated = text.strip()
    try:
        return datetime.combine(date.fromisoformat(stated), of_day, UTC)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(stated)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise InputError(
            field, "is no date; send YYYY-MM-DD, or a date and time with its offset"
        ) from None


def read_span(text: str, field: str) -> timedelta:
    """A span of time as people write it: ``90s``, ``15m``, ``1h``, ``30d``.

    Raises:
        InputError: It is none.
    """
    found = _SPAN.fullmatch(text.strip())
    if found is None:
        raise InputError(field, "is no span of time; write it as 90s, 15m, 1h or 30d")
    return int(found[1]) * _UNITS[found[2]]
