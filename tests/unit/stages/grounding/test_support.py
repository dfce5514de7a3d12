"""Numbers and names of a statement against what the evidence says."""

from __future__ import annotations

import pytest

from pipelines.stages.grounding.support import (
    coverage,
    has_substance,
    is_strange_opening,
    read_support,
    unsupported_names,
    unsupported_numbers,
)


@pytest.mark.parametrize(
    ("statement", "evidence"),
    [
        ("has two dogs", "I have 2 dogs"),
        ("has 2 dogs", "I have two dogs"),
        ("has 1 dog", "I have a dog"),
        ("was there 2 times", "I was there twice"),
        ("pays 1000 euros", "I pay 1,000 euros"),
        ("pays 5000 euros", "I pay 5k euros"),
        ("pays 25 euros", "I pay twenty-five euros"),
        ("rode 205 km", "I rode two hundred and five km"),
        ("scored 3.5", "I scored 3.50"),
        ("won her 3rd cup", "I won my third cup"),
        ("is one of them", "I am among them"),
    ],
)
def test_number_is_supported_when_the_evidence_says_it(statement: str, evidence: str) -> None:
    """Figures, words, separators and multiples of one number are the same number."""
    assert set() == unsupported_numbers(statement, read_support(evidence))


@pytest.mark.parametrize(
    ("statement", "evidence", "expected"),
    [
        ("has two dogs", "I have three dogs", {"2"}),
        ("has 12 dogs", "I have 1 or 2 dogs", {"12"}),
        ("has 2 dogs and 5 cats", "I have 2 dogs and many cats", {"5"}),
        ("has many dogs", "I have 3 dogs", set()),
    ],
)
def test_number_is_unsupported_when_the_evidence_has_another(
    statement: str, evidence: str, expected: set[str]
) -> None:
    """A number that nobody said is named."""
    assert expected == unsupported_numbers(statement, read_support(evidence))


@pytest.mark.parametrize(
    ("statement", "evidence", "expected"),
    [
        ("She lives in Berlin", "i live in berlin", set()),
        ("She likes Ann's cake", "Ann baked a cake", set()),
        ("She met Jean-Luc", "I met Jean-Luc", set()),
        ("She lives in Paris", "I live in Berlin", {"Paris"}),
        ("Anna: Yes, I do. Sure", "yes, I do. Sure", set()),
        ("She thinks I'm right", "you are right", set()),
        ("She knows John", "I know Johnson", {"John"}),
    ],
)
def test_names_inside_sentences_must_stand_in_the_evidence(
    statement: str, evidence: str, expected: set[str]
) -> None:
    """A capitalised word that does not begin a sentence is a name, and names are exact."""
    assert expected == unsupported_names(statement, read_support(evidence))


def test_number_of_any_length_is_read() -> None:
    """A million digits are no error."""
    support = read_support("9" * 1_000_000 + " k and " + "1," * 100_000)

    assert {"7"} == unsupported_numbers("has 7", support)


@pytest.mark.parametrize(
    ("statement", "evidence", "expected"),
    [
        ("She knows the Novak family", "the Novaks pay", set()),
        ("She learns Italian cooking", "I love Italy", set()),
        ("She flew to New York City", "I flew to NYC", set()),
        ("She flew to NYC", "I flew to New York City", set()),
        ("The budget for Q2 is high", "in the second quarter it is high", set()),
        ("It is the flat of User's sister", "my sister has a flat", set()),
        ("She knows Paula", "I know Paul", {"Paula"}),
        ("She knows Walter", "I know Walt", {"Walter"}),
    ],
)
def test_name_is_supported_when_it_is_a_form_of_what_is_said(
    statement: str, evidence: str, expected: set[str]
) -> None:
    """Plurals, nationalities and initials are the same name; a longer name is another one."""
    assert expected == unsupported_names(statement, read_support(evidence))


@pytest.mark.parametrize(
    ("statement", "evidence", "expected"),
    [
        ("Rashid fixed the server.", "the server was broken", True),
        ("Rashid fixed the server.", "rashid repaired it", False),
        ("Everybody likes the server.", "we all like it", False),
        ("Running has been great.", "my runs are great", False),
    ],
)
def test_opening_is_strange_when_the_evidence_does_not_know_who_acts(
    statement: str, evidence: str, *, expected: bool
) -> None:
    """The first word of a sentence is a name if a verb follows and nobody said it."""
    assert expected == is_strange_opening(statement, read_support(evidence))


@pytest.mark.parametrize(
    ("statement", "evidence", "share"),
    [
        ("User works as a nurse", "I am nursing at work", 1.0),
        ("User likes green tea", "I enjoy tea", 2 / 3),
        ("User grows roses", "I fixed my bike", 0.0),
        ("User appreciates the encouragement", "thanks, that was kind", 1.0),
        ("User pays 20 euros in May", "it is cheap", 0.0),
        ("Ann sings", "Ann is here", 0.0),
    ],
)
def test_coverage_is_the_share_of_words_that_the_evidence_has(
    statement: str, evidence: str, share: float
) -> None:
    """Synonyms and word families count; numbers, dates and known names do not."""
    known = frozenset({"ann"})

    assert share == pytest.approx(coverage(statement, read_support(evidence), known))


@pytest.mark.parametrize(("quote", "expected"), [("I", False), ("Yes.", False), (" . ", False),
                                                  ("Peanuts", True), ("20", True)])  # fmt: skip
def test_quote_has_substance_when_it_says_anything(quote: str, *, expected: bool) -> None:
    """A pronoun, a yes or a dot proves nothing by itself."""
    assert expected == has_substance(quote)
