"""Sentences in pieces: an attribute that changes takes nothing else along."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.offline.clauses import join_clauses, split_clauses
from pipelines.stages.offline.readings import read_sentence


def pieces(sentence: str) -> list[tuple[str, str | None]]:
    """What is quoted, each with the value that it gives."""
    return [
        (reading.quote, reading.slot.value if reading.slot else None)
        for reading in read_sentence(sentence)
    ]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        (
            "I live in Berlin and my landlord wants a copy by Friday",
            [("I live in Berlin", "Berlin"), ("my landlord wants a copy by Friday", None)],
        ),
        (
            "I'm vegetarian, so no bacon in the meal plan please.",
            [("I'm vegetarian", "vegetarian"), ("no bacon in the meal plan please.", None)],
        ),
        (
            "Our old dog passed away, so we're down to one dog.",
            [("Our old dog passed away", "dog"), ("we're down to one dog.", "1")],
        ),
        (
            "I'm not vegetarian anymore, I eat meat again.",
            [("I'm not vegetarian anymore", "vegetarian"), ("I eat meat again.", "meat")],
        ),
        ("For context, I'm a nurse.", [("For context, I'm a nurse.", "nurse")]),
        ("I baked bread and we ate it.", [("I baked bread and we ate it.", None)]),
        (
            "If I moved, I'd go far, and I live in Bonn.",
            [("If I moved, I'd go far, and I live in Bonn.", None)],
        ),
    ],
)
def test_sentence_is_cut_when_a_clause_of_it_states_an_attribute(
    sentence: str, expected: list[tuple[str, str | None]]
) -> None:
    """Each attribute stands alone; a sentence without one, or in doubt, stays whole."""
    assert expected == pieces(sentence)


def test_sentence_gives_each_thing_of_a_list_its_own_words() -> None:
    """What is said of three things at once can end for each of them."""
    readings = read_sentence("I'm allergic to cats, nuts and pollen.")

    assert ["I'm allergic to cats.", "I'm allergic to nuts.", "I'm allergic to pollen."] == [
        reading.words for reading in readings
    ]
    assert {"I'm allergic to cats, nuts and pollen."} == {reading.quote for reading in readings}


def test_sentence_says_of_the_former_value_only_what_concerns_it() -> None:
    """The ending of one value does not speak of the one that came instead."""
    new, former = read_sentence("Big win, we switched from Jira to Linear.")

    assert ("Linear", "Jira") == (
        new.slot and new.slot.value,
        former.slot and former.slot.value,
    )
    assert "we switched from Jira" == former.words


_PARTS = st.sampled_from(
    ["I live in Bonn", "my cat is old", "for context", "we use Jira", "and", "but", ",", ";", " - "]
)


@given(st.lists(_PARTS, min_size=1, max_size=8).map(" ".join))
def test_clauses_cover_their_sentence_and_stand_in_it(sentence: str) -> None:
    """Nothing is lost but what joins clauses, and every piece can be quoted."""
    clauses = split_clauses(sentence)

    assert sentence.strip() == join_clauses(sentence, clauses)
    assert all(clause.text in sentence and clause.core in clause.text for clause in clauses)
