"""Statements that turn round what is said, and paraphrases that do not."""

from __future__ import annotations

import pytest

from pipelines.stages.grounding import contrary
from pipelines.stages.grounding.clauses import read_clauses


@pytest.mark.parametrize(
    ("statement", "quote", "expected"),
    [
        ("User eats meat", "I don't eat meat, but I do eat fish", True),
        ("User does not eat fish", "I don't eat meat, but I do eat fish", True),
        ("User eats fish", "I don't eat meat, but I do eat fish", False),
        ("User avoids meat", "I don't eat meat", False),
        ("User likes treadmills", "I hate treadmills", True),
        ("User dislikes treadmills", "I hate treadmills", False),
        ("The flat has a balcony", "It has 74 square metres and no balcony", True),
        ("User takes no pills", "I take pills every day", True),
        ("Beer traps helped", "Yes, they didn't help", True),
        ("User will take the parrot", "She sells her parrot, but I won't take it", True),
        ("User declined the offer", "I got an offer, but I turned it down", False),
        ("User's ankle hurts", "I'm not playing today, my ankle hurts", False),
        ("User is excited to see Ann", "I can't wait to see Ann", False),
        ("User no longer uses Jira", "We switched from Jira to Linear", False),
        ("User may fail the exam", "If I don't pass the exam, I cry", False),
    ],
)
def test_denial_contradicts_when_only_one_of_the_two_denies(
    statement: str, quote: str, *, expected: bool
) -> None:
    """What the quote denies is not affirmed, nor the other way round; other words are no denial."""
    assert expected == contrary.denies_otherwise(read_clauses(statement), read_clauses(quote))


@pytest.mark.parametrize(
    ("statement", "quote", "expected"),
    [
        ("User moved from Oslo to Rome", "I moved from Rome to Oslo", True),
        ("User moved to Oslo from Rome", "I moved from Rome to Oslo", False),
        ("User prefers spaces over tabs", "I prefer tabs over spaces", True),
        ("User likes tabs better than spaces", "I prefer tabs over spaces", False),
        ("It was moved from April 3 to April 9", "It moved from 3 April to 9 April", False),
    ],
)
def test_direction_contradicts_when_its_ends_change_places(
    statement: str, quote: str, *, expected: bool
) -> None:
    """From and to, over and than keep what they lead to."""
    assert expected == contrary.turns_direction(statement, quote)


@pytest.mark.parametrize(
    ("statement", "quote", "expected"),
    [
        ("User bought a Golf", "I sold my Golf and bought a Tesla", True),
        ("User bought a Tesla", "I sold my Golf and bought a Tesla", False),
        ("The landlord forbids pets", "My landlord doesn't allow pets", False),
    ],
)
def test_side_contradicts_when_the_quote_takes_the_other(
    statement: str, quote: str, *, expected: bool
) -> None:
    """Bought and sold of one thing exclude each other."""
    assert expected == contrary.takes_other_side(read_clauses(statement), read_clauses(quote))


@pytest.mark.parametrize(
    ("statement", "quote", "expected"),
    [
        ("has two dogs and a cat", "two cats and an old dog", True),
        ("has 2 cats", "two cats and an old dog", False),
        ("pays 950 dollars", "pays 950 euros", True),
        ("pays €950", "pays 950 euros", False),
        ("takes 20 g", "takes 20 mg", True),
        ("lives 600 m away", "lives 600 metres away", False),
    ],
)
def test_count_contradicts_when_it_is_of_another_thing_or_unit(
    statement: str, quote: str, *, expected: bool
) -> None:
    """A number belongs to what it counts, in the unit in which it was said."""
    assert expected == contrary.miscounts(statement, quote)


@pytest.mark.parametrize(
    ("statement", "quote", "names", "expected"),
    [
        ("Dave booked a hotel in Osaka", "I booked in Kyoto, Osaka is open", "osaka kyoto", True),
        ("Dave booked a hotel in Kyoto", "I booked in Kyoto, Osaka is open", "osaka kyoto", False),
        ("They recorded eight songs, the label wants four",
         "We recorded four songs, the label wants eight", "", True),
        ("They recorded 4 of the 8 songs that the label wants",
         "We recorded four songs, the label wants eight", "", False),
        ("User sleeps 6 hours though Hugo recommends 8",
         "Hugo says I should sleep eight hours, I get six", "hugo", False),
    ],
)  # fmt: skip
def test_name_contradicts_when_it_stands_where_the_quote_has_another(
    statement: str, quote: str, names: str, *, expected: bool
) -> None:
    """Names and numbers stay with what is said of them."""
    assert expected == contrary.misattributes(
        read_clauses(statement), read_clauses(quote), frozenset(names.split())
    )


def test_relation_contradicts_when_the_messages_have_another() -> None:
    """A husband is no brother, a trainer no doctor; nobody is compared with nobody."""
    assert contrary.names_other_relation("Beth's brother Karl runs", "My husband Karl runs")
    assert contrary.names_other_relation("User's doctor is Hugo", "My trainer Hugo")
    assert not contrary.names_other_relation("Beth's husband Karl runs", "My husband Karl runs")
    assert not contrary.names_other_relation("Karl runs", "My husband Karl runs")


def test_past_contradicts_when_it_is_stated_as_present() -> None:
    """What an old thing had, the present one need not have."""
    quote = read_clauses("My old plan had 8 GB.")

    assert contrary.is_outdated(read_clauses("User's plan has 8 GB."), quote)
    assert not contrary.is_outdated(read_clauses("User's old plan had 8 GB."), quote)


@pytest.mark.parametrize(
    ("value", "statement", "expected"),
    [
        ("Rome", "User lives in Rome", True),
        ("Oslo", "User lives in Oslo", False),
        ("Rome", "User moved away from Rome", False),
    ],
)
def test_value_is_left_behind_when_the_quote_moves_away_from_it(
    value: str, statement: str, *, expected: bool
) -> None:
    """Of "from Rome to Oslo" only Oslo is where somebody lives."""
    assert expected == contrary.is_left_behind(value, statement, "I moved from Rome to Oslo")
