"""Times and time zones of a transcript: which are possible, and how they are written down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from memstill_client.errors import InvalidTranscript

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)


def microseconds(time: datetime) -> int:
    """Whole microseconds since 1970, UTC."""
    return (time - EARLIEST) // MICROSECOND


def utc_time(time: datetime | None, latest: datetime) -> tuple[str, datetime | None]:
    """A pushed time in UTC, or the problem with it; the other of the two is empty."""
    if time is None:
        return "", None
    try:
        time = time.astimezone(UTC)
    except OverflowError:
        return "is a time that no calendar has; send when it was said, or leave it out", None
    if time < EARLIEST:
        return "is before 1970; send when it was said, or leave it out", None
    if time > latest:
        return "is more than a day ahead; correct the clock, or leave it out", None
    return "", time


def known_time_zone(name: str | None) -> str:
    """The pushed IANA name, UTC where there is none.

    Raises:
        InvalidTranscript: This machine knows no such time zone.
    """
    if name is None or name == "UTC":
        return "UTC"
    if not _is_time_zone(name):
        reason = (
            "is not a known IANA time zone; send a name like Europe/Berlin, "
            "and install the package tzdata where the system has no time zones"
        )
        raise InvalidTranscript("time_zone", reason)
    return name


@lru_cache(maxsize=1024)
def _is_time_zone(name: str) -> bool:
    # Files that lie among the zones without being IANA names.
    if name.startswith(("posix/", "right/")) or name in {"localtime", "posixrules", "Factory"}:
        return False
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
