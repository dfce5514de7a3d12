"""Dates without a year or a month."""

from __future__ import annotations

from datetime import date

import pytest

from pipelines.stages.grounding.near_dates import nearest_days

TUESDAY = date(2026, 3, 3)


@pytest.mark.parametrize(
    ("text", "first_days"),
    [
        ("on Friday", [date(2026, 3, 6), date(2026, 2, 27)]),
        ("on 9 June", [date(2025, 6, 9), date(2026, 6, 9)]),
        ("June 9th", [date(2025, 6, 9), date(2026, 6, 9)]),
        ("in October", [date(2025, 10, 1), date(2026, 10, 1)]),
        ("in February", [date(2026, 2, 1), date(2027, 2, 1)]),
        ("the 26th", [date(2026, 2, 26), date(2026, 3, 26), date(2026, 4, 26), date(2026, 5, 26)]),
        ("30 February", []),
        ("9 June 2024", []),
        ("nothing", []),
    ],
)
def test_incomplete_date_means_the_nearest_days_when_it_was_said(
    text: str, first_days: list[date]
) -> None:
    """The nearest before and the nearest after; what names its year is not incomplete."""
    assert first_days == [mention.first for mention in nearest_days(text, TUESDAY)]


def test_month_means_all_of_its_days_when_no_day_is_said() -> None:
    """In October ends on the 31st."""
    assert date(2026, 10, 31) == nearest_days("in October", TUESDAY)[1].last
