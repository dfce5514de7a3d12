"""Sentences taken apart into clauses that affirm, deny or leave open."""

from __future__ import annotations

import pytest

from pipelines.stages.grounding.clauses import Polarity, read_clauses


@pytest.mark.parametrize(
    ("text", "polarities"),
    [
        ("I eat fish.", "affirmed"),
        ("I don't eat meat, but I do eat fish.", "denied affirmed"),
        ("I don't like milk, eggs and nuts.", "denied denied denied"),
        ("I am not playing today, my ankle hurts.", "denied affirmed"),
        ("Restarting did not help; renewing did.", "denied affirmed"),
        ("I gave up running because of my knee.", "denied affirmed"),
        ("Do you eat meat?", "open"),
        ("If I pass the exam, I will travel.", "open affirmed"),
        ("I can't wait to see you.", "affirmed"),
        ("I never said no to that.", "open"),
        ("Ich mag keinen Kaffee.", "denied"),
    ],
)
def test_clause_is_affirmed_denied_or_open_when_a_text_is_read(text: str, polarities: str) -> None:
    """A denial reaches to the end of its clause and through the items of a list."""
    assert polarities.split() == [clause.polarity.value for clause in read_clauses(text)]


def test_clause_names_the_word_that_is_denied_when_it_denies() -> None:
    """The head is what follows the denial, or what stands before it; "no X" lacks X."""
    windows, balcony = read_clauses("The windows weren't. It has no balcony.")

    assert ("window", None) == (windows.head, windows.lacks)
    assert ("balconi", "balconi") == (balcony.head, balcony.lacks)


@pytest.mark.parametrize(
    ("text", "actors", "is_own", "is_addressed"),
    [
        ("I work at Acme.", set(), True, False),
        ("My brother Tom works at Acme.", {"brother", "tom"}, False, False),
        ("She works at Acme.", {"she"}, False, False),
        ("You work hard.", set(), False, True),
        ("Works at Acme.", set(), False, False),
    ],
)
def test_clause_tells_whom_it_is_about(
    text: str, actors: set[str], *, is_own: bool, is_addressed: bool
) -> None:
    """A relative or a pronoun acts, or the speaker, or whom the speaker talks to."""
    (clause,) = read_clauses(text)

    assert (actors, is_own, is_addressed) == (
        set(clause.actors),
        clause.is_own,
        clause.is_addressed,
    )


def test_clause_inherits_who_acts_when_it_has_no_subject() -> None:
    """ "Studies medicine and passed everything" is about one person."""
    clauses = read_clauses("My roommate Femke studies medicine and passed everything.")

    assert [{"roommate", "femke"}] * 2 == [set(clause.actors) for clause in clauses]


def test_clauses_of_nothing_are_none() -> None:
    """Signs alone are no clause."""
    assert () == read_clauses(" … ! ")
    assert Polarity.DENIED is read_clauses("No.")[0].polarity
