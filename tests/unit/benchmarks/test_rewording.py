"""A statement in other words says the same."""

from __future__ import annotations

import re

import pytest

from benchmarks.rewording import reword
from pipelines.stages.dedup import statement_key

NAMES = {"Ana", "Ben"}
REWORDED = [
    ("Ana attended a ball and found it dull.", "Ana, who went to a ball, found it dull."),
    ("Ana painted a sunset last year.", "A sunset was painted by Ana last year."),
    ("Ana ran a charity race last Saturday.", "Last Saturday, Ana ran a charity race."),
    ("Ben is moving because he lost his job.", "Because he lost his job, Ben is moving."),
    ("Ana believes that art has the power to heal.", "In Ana's view, art is able to heal."),
    ("Ben finds it hard to sleep.", "For Ben it's hard to sleep."),
    ("Ana really likes her garden.", "Ana said that she likes her garden."),
    ("Ana's brother is named Ben.", "The brother of Ana is called Ben."),
    ("Ben enjoys the peace of love and friendship.", "Ben likes the peace of friendship and love."),
    ("Ben has 2 dogs.", "According to Ben, Ben has 2 dogs."),
    ("Ana and Ben do not eat meat.", "According to Ana, Ana and Ben don't eat meat."),
    ("The train was late.", "It is true that the train was late."),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "expected"), REWORDED)
def test_rewording_changes_words_and_order(statement: str, expected: str) -> None:
    """Each rule of grammar by an example."""
    assert expected == reword(statement, NAMES)


@pytest.mark.parametrize("statement", [statement for statement, _ in REWORDED])
def test_rewording_keeps_names_and_numbers_and_is_never_the_same(statement: str) -> None:
    """Who, how many and the answer to yes or no are what a rewording must not touch."""
    other = reword(statement, NAMES)

    assert statement_key(statement) != statement_key(other)
    assert set(re.findall(r"\d+|\b(?:Ana|Ben|Saturday)\b", statement)) == set(
        re.findall(r"\d+|\b(?:Ana|Ben|Saturday)\b", other)
    )
    assert ("not" in statement or "n't" in statement) == ("not" in other or "n't" in other)
