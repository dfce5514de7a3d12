"""Who does what to whom, in a statement and in its quote."""

from __future__ import annotations

import pytest

from pipelines.stages.grounding.clauses import read_clauses
from pipelines.stages.grounding.roles import closest, swaps_roles, takes_over


@pytest.mark.parametrize(
    ("statement", "quote", "expected"),
    [
        ("User works at Acme.", "My brother Tom is ill, he works at Acme.", True),
        ("User is allergic to eggs.", "My daughter is allergic to eggs, I'm not.", True),
        ("Ann drives a Volvo.", "My wife drives a Volvo.", True),
        ("User's brother works at Acme.", "My brother works at Acme.", False),
        ("User has a brother who works at Acme.", "My brother works at Acme.", False),
        ("User works at Acme.", "I work at Acme, my brother does not.", False),
        ("User's plan has 8 GB.", "My plan has 8 GB.", False),
    ],
)
def test_speaker_takes_over_when_the_quote_says_it_of_a_relative(
    statement: str, quote: str, *, expected: bool
) -> None:
    """What is said of "my brother" or "her" is not said of the speaker."""
    assert expected == takes_over(statement, {"ann"}, read_clauses(quote))


@pytest.mark.parametrize(
    ("statement", "quote", "expected"),
    [
        ("Paul beat Vera.", "I beat Paul yesterday.", True),
        ("Vera beat Paul.", "I beat Paul yesterday.", False),
        ("Paul was beaten by Vera.", "I beat Paul yesterday.", False),
        ("Otto replaced Hanna.", "Ask Hanna, she replaced Otto.", True),
        ("Paul met Vera.", "I met Paul yesterday.", False),
    ],
)
def test_roles_are_swapped_when_who_acts_changes_places(
    statement: str, quote: str, *, expected: bool
) -> None:
    """Who beats and who is beaten stay apart; meeting holds both ways."""
    names = {"paul", "otto", "hanna"}

    assert expected == swaps_roles(read_clauses(statement), read_clauses(quote), {"vera"}, names)


def test_closest_clauses_share_most_words_when_names_do_not_count() -> None:
    """A greeting is near to nothing."""
    quoted = read_clauses("Hey Ann, I moved to Rome, my dog likes it.")

    assert [("move", "rome")] == [
        clause.words for clause in closest(read_clauses("Ann moved to Rome."), quoted, {"ann"})
    ]
    assert [] == closest(read_clauses("Ann sings."), quoted, {"ann"})
