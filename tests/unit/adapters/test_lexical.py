from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters.lexical import (
    AVERAGE_LENGTH,
    K1,
    MAX_ASKED,
    document_vector,
    inverse_document_frequency,
    query_vector,
    select_terms,
)


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("The user is running and ran", ["user", "run", "ran"]),
        ("She doesn't like it; she's not been there", ["like"]),
        ("Mia\u2019s PEANUT allergies", ["mia", "peanut", "allergi"]),
        ("STRASSE Straße", ["strass", "strass"]),
        ("caf\u00e9 cafe\u0301", ["caf\u00e9", "caf\u00e9"]),
        ("snake_case, 3.14 and XK-4417", ["snake", "case", "3", "14", "xk", "4417"]),
        ("東京 tower", ["東", "京", "tower"]),
        ("the of and", []),
        ("?! \u2026 🙂", []),
        ("", []),
    ],
)
def test_select_terms_keeps_stems_of_content_words(text: str, terms: list[str]) -> None:
    """Case, inflection, contraction and Unicode form make no difference; stop words are gone."""
    assert terms == select_terms(text)


def test_document_vector_is_the_same_in_every_process() -> None:
    """Term numbers are stored in indexes, so they are fixed for good."""
    assert (3871166880,) == document_vector("kayaks").indices


def test_document_vector_weighs_by_bm25() -> None:
    """A statement of average length gives a word (k1 + 1) / (1 + k1) once, more if repeated."""
    words = " ".join(f"word{number}" for number in range(AVERAGE_LENGTH - 2))
    vector = document_vector(f"kayak kayak {words}")
    weight = dict(zip(vector.indices, vector.values, strict=True))
    (kayak,), (word,) = query_vector("kayak").indices, query_vector("word0").indices
    assert weight[word] == pytest.approx(1.0)
    assert weight[kayak] == pytest.approx(2 * (K1 + 1) / (2 + K1))


def test_document_vector_gives_a_word_less_weight_when_the_statement_is_longer() -> None:
    """The same word says less about a long statement than about a short one."""
    short, long = document_vector("kayak"), document_vector("kayak " + "other things " * 20)
    (kayak,) = short.indices
    assert short.values[0] > dict(zip(long.indices, long.values, strict=True))[kayak]


@given(st.text(max_size=200))
def test_document_vector_is_well_formed_for_any_text(text: str) -> None:
    """Terms are distinct, ascending 32-bit numbers with weights between 0 and k1 + 1."""
    vector = document_vector(text)
    assert sorted(set(vector.indices)) == list(vector.indices)
    assert all(0 <= index < 2**32 for index in vector.indices)
    assert all(0 < value < K1 + 1 for value in vector.values)
    assert len(vector.indices) == len(vector.values)


def test_query_vector_asks_for_the_first_words_of_a_long_text() -> None:
    """What a search costs is bounded, however much is asked."""
    words = [f"w{number}" for number in range(2 * MAX_ASKED)]
    first = query_vector(" ".join(words[:MAX_ASKED]))
    assert MAX_ASKED == len(first.indices)
    assert first == query_vector(" ".join(words))


@given(st.text(max_size=200))
def test_query_vector_asks_each_term_of_the_document_once(text: str) -> None:
    """A text is found by its own words, each of weight one."""
    query, stored = query_vector(text), document_vector(text).indices
    assert min(MAX_ASKED, len(stored)) == len(query.indices)
    assert set(query.indices) <= set(stored)
    assert set(query.values) <= {1.0}
    assert bool(query) == bool(select_terms(text))


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_inverse_document_frequency_stays_above_zero(documents: int, more: int) -> None:
    """A word counts for something even when every statement has it, and more if it is rarer."""
    total = documents + more
    weight = inverse_document_frequency(total, documents)
    assert weight > 0
    assert weight >= inverse_document_frequency(total, total)


def test_select_terms_is_safe_when_many_threads_stem() -> None:
    """The stemmer keeps state while it works; no thread sees another's word."""
    words = [f"{stem}ations{number}ing" for number in range(400) for stem in ("rel", "n", "st")]
    texts = [" ".join(words[start::8]) for start in range(8)] * 2
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(select_terms, texts))
    assert answers == [select_terms(text) for text in texts]
