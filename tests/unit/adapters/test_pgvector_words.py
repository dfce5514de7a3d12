"""Which words of a question lead to memories of an owner who has very many."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters.pgvector_queries import Lead
from pipelines.adapters.pgvector_words import (
    NOT_COUNTED,
    CommonWords,
    least_holders,
    read_words,
    write_words,
)

# So many rows are read at most: 1,000.
HOLDERS = {1: 250, 2: 600, 3: 900, 4: 5_000, 5: 9_000, 6: 20_000}
NOON = 1_800_000_000
WORDS = CommonWords(NOON, 50_000, 250, HOLDERS)


@pytest.mark.parametrize(
    ("terms", "arranged", "lead"),
    [
        ([], [], Lead(0)),
        ([7, 8], [7, 8], Lead(2)),
        ([6, 4, 8], [8, 4, 6], Lead(1)),
        ([3, 2, 1], [1, 2, 3], Lead(2)),
        ([5, 4, 6], [4, 5, 6], Lead(0, 2)),
        ([8, 5, 4, 6], [8, 4, 5, 6], Lead(1, 2)),
        ([8, 2, 5, 4, 6], [8, 2, 4, 5, 6], Lead(2, 3)),
        ([6, 5], [5, 6], Lead(0)),
        ([6], [6], Lead(0)),
    ],
)
def test_rare_words_lead_and_common_ones_together(
    terms: list[int], arranged: list[int], lead: Lead
) -> None:
    """Or none, where even together they would lead to too many."""
    assert (arranged, lead) == WORDS.arrange(terms)


@given(
    st.dictionaries(st.integers(1, 30), st.integers(250, 50_000)),
    st.lists(st.integers(1, 40), unique=True, max_size=64),
)
def test_no_more_is_read_than_is_bearable_and_no_word_is_lost(
    holders: dict[int, int], terms: list[int]
) -> None:
    """Of those that do not lead to every row that holds them, it is known how many do."""
    words = CommonWords(NOON, 50_000, 250, holders)
    arranged, lead = words.arrange(terms)

    assert sorted(terms) == sorted(arranged)
    assert set(arranged[lead.words :]) <= holders.keys()
    assert sum(holders.get(term, 0) for term in arranged[: lead.words]) <= 1_000
    assert all(term in arranged[: lead.words] for term in terms if term not in holders)
    assert 1 != lead.together <= len(terms) - lead.words


def test_every_word_leads_where_none_were_counted() -> None:
    """As it is for owners without a graph."""
    assert ([3, 1, 2], Lead(3)) == NOT_COUNTED.arrange([3, 1, 2])
    assert NOT_COUNTED.is_outdated(1, NOON)


@pytest.mark.parametrize(
    ("memories", "is_outdated"),
    [(50_000, False), (60_000, False), (60_001, True), (40_000, False), (39_999, True)],
)
def test_words_are_counted_again_after_a_fifth(memories: int, is_outdated: bool) -> None:
    """More or fewer; and after a day, for as many may have come as have gone."""
    assert is_outdated is WORDS.is_outdated(memories, NOON + 3_600)
    assert WORDS.is_outdated(memories, NOON + 90_000)


def test_words_are_read_as_they_were_written() -> None:
    """What anybody else wrote there counts for nothing."""
    assert WORDS == read_words(write_words(WORDS))
    assert "'" not in write_words(WORDS)
    nobody = write_words(CommonWords(NOON, 0, 250, {1: 250}))
    for other in (None, "", "the graph of Alice", "7", "[]", '{"memories": 7}', nobody):
        assert NOT_COUNTED == read_words(other)


def test_a_word_is_common_by_what_makes_an_owner_large() -> None:
    """And of the very many of some by those: the number of words has a bound."""
    assert 250 == least_holders(50_000, 5_000)
    assert 1_000 == least_holders(1_000_000, 5_000)
    assert 1 == least_holders(10, 7)
