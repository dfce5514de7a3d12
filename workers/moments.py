"""Reads the time that somebody asks about."""

from __future__ import annotations

from datetime import UTC, date, datetime, time

from pipelines.errors import InputError


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
