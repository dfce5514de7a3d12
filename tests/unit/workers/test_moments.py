"""The time that somebody asks about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pipelines.errors import InputError
from workers.moments import read_moment, read_span


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("2026-03-02T09:30:00Z", datetime(2026, 3, 2, 9, 30, tzinfo=UTC)),
        ("2026-03-02T09:30:00+02:00", datetime(2026, 3, 2, 7, 30, tzinfo=UTC)),
        ("2026-03-02 09:30", datetime(2026, 3, 2, 9, 30, tzinfo=UTC)),
    ],
)
def test_moment_is_in_utc_whatever_offset_it_names(stated: str, expected: datetime) -> None:
    """A time without an offset is meant in UTC."""
    assert expected == read_moment(stated, "as_of")


def test_moment_of_a_bare_date_is_the_end_of_that_day() -> None:
    """Asked about a day, one wants what was true when it was over."""
    midnight = datetime(2026, 3, 3, tzinfo=UTC)

    assert timedelta(microseconds=1) == midnight - read_moment(" 2026-03-02 ", "as_of")


@pytest.mark.parametrize("stated", ["", "yesterday", "2026-02-30", "0001-01-01T00:00+14:00"])
def test_moment_is_refused_with_its_field_when_it_is_none(stated: str) -> None:
    """The refusal says what to send instead."""
    with pytest.raises(InputError, match="as_of: is no date; send YYYY-MM-DD"):
        read_moment(stated, "as_of")


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        (" 1h ", timedelta(hours=1)),
        ("30d", timedelta(days=30)),
        ("0s", timedelta()),
    ],
)
def test_span_is_read_as_people_write_it(stated: str, expected: timedelta) -> None:
    """A number and its unit."""
    assert expected == read_span(stated, "--grace")


@pytest.mark.parametrize("stated", ["", "1", "h", "-1h", "1.5h", "1w", "\u0661h", "9999999d"])
def test_span_is_refused_with_its_field_when_it_is_none(stated: str) -> None:
    """The refusal says how one is written."""
    with pytest.raises(InputError, match="--grace: is no span of time; write it as 90s"):
        read_span(stated, "--grace")
