"""Expressions of time, resolved against the day on which they were said."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.dates import (
    annotate,
    local_day,
    mask_known_dates,
    midday,
    resolve_dates,
)

TUESDAY = date(2026, 3, 3)


def resolved(sentence: str, said_on: date = TUESDAY) -> str:
    return annotate(sentence, resolve_dates(sentence, said_on))


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("yesterday", "yesterday (2 March 2026)"),
        ("Last night was long", "Last night (2 March 2026) was long"),
        ("this morning", "this morning (3 March 2026)"),
        ("tomorrow evening", "tomorrow evening (4 March 2026)"),
        ("the day before yesterday", "the day before yesterday (1 March 2026)"),
        ("two days ago", "two days ago (1 March 2026)"),
        ("a couple of days ago", "a couple of days ago (1 March 2026)"),
        ("3 weeks ago", "3 weeks ago (week of 9 February 2026)"),
        ("two months ago", "two months ago (January 2026)"),
        ("ten years ago", "ten years ago (2016)"),
        ("last week", "last week (week of 23 February 2026)"),
        ("last weekend", "last weekend (weekend of 28 February 2026)"),
        ("next month", "next month (April 2026)"),
        ("last year's trip", "last year's (2025) trip"),
        ("last Friday", "last Friday (27 February 2026)"),
        ("last Tuesday", "last Tuesday (24 February 2026)"),
        ("last Fri", "last Fri (27 February 2026)"),
        ("this Friday", "this Friday (6 March 2026)"),
        ("next Friday", "next Friday (13 March 2026)"),
        ("I met him on Friday", "I met him on Friday (27 February 2026)"),
        ("I'll meet him on Friday", "I'll meet him on Friday (6 March 2026)"),
        ("last summer", "last summer (summer 2025)"),
        ("last winter", "last winter (winter 2025/26)"),
        ("last May", "last May (May 2025)"),
        ("it starts in two weeks", "it starts in two weeks (week of 16 March 2026)"),
    ],
)
def test_date_stands_behind_its_expression(sentence: str, expected: str) -> None:
    """What is relative gets the days it means in parentheses."""
    assert expected == resolved(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "I lost 5 kg in two weeks",
        "for the last week of it",
        "some days ago",
        "Friday is my day off",
        "on 7 May 2023",
        "in May 2021",
        "2026-03-01",
        "it may rain",
        "300 decades ago",
    ],
)
def test_date_is_left_alone_when_it_is_uncertain_or_said_in_full(sentence: str) -> None:
    """A guess is no date, and a full date needs no other."""
    assert sentence == resolved(sentence)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("on 7th of May, 2023", date(2023, 5, 7)),
        ("Dec 5, 2022", date(2022, 12, 5)),
        ("2026-03-01", date(2026, 3, 1)),
    ],
)
def test_date_in_full_is_read(sentence: str, expected: date) -> None:
    """A full date names its one day."""
    (mention,) = resolve_dates(sentence, TUESDAY)

    assert (expected, expected, "") == (mention.first, mention.last, mention.label)


def test_local_day_is_the_one_of_the_user() -> None:
    """Half past eleven in the evening in London is the next day in Berlin."""
    moment = datetime(2026, 3, 3, 23, 30, tzinfo=UTC)

    assert (date(2026, 3, 4), date(2026, 3, 3)) == (
        local_day(moment, "Europe/Berlin"),
        local_day(moment, "America/New_York"),
    )


def test_midday_is_noon_where_the_user_is() -> None:
    """A day is stood for by its local noon."""
    assert datetime(2026, 7, 1, 10, tzinfo=UTC) == midday(date(2026, 7, 1), "Europe/Berlin")


@given(
    st.dates(),
    st.sampled_from(["last week", "next month", "999 years ago", "last Friday", "this winter"]),
)
def test_resolve_dates_never_fails(said_on: date, sentence: str) -> None:
    """At the ends of the calendar a date is left out, not an error."""
    for mention in resolve_dates(sentence, said_on):
        assert mention.first <= mention.last


@pytest.mark.parametrize(
    ("statement", "left"),
    [
        ("went on 27 February 2026", "went on"),
        ("went in February 2026", "went in"),
        ("went in 2026", "went in"),
        ("went on Friday", "went on"),
        ("went on 27 February", "went on"),
        ("went on 28 February 2026", "went on 28 February 2026"),
        ("has 27 dogs", "has 27 dogs"),
        ("owes 2026 euros", "owes 2026 euros"),
    ],
)
def test_mask_known_dates_takes_out_only_what_is_borne_out(statement: str, left: str) -> None:
    """A known day covers itself and coarser dates; numbers that are no dates stay."""
    known = resolve_dates("last Friday", TUESDAY)

    assert left.split() == mask_known_dates(statement, known).split()
