"""Finding a quote whose typography was changed on the way."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.stages.grounding.quotes import find_quote


@pytest.mark.parametrize(
    ("quote", "message", "expected"),
    [
        ("I live", "Yes, I live here", "I live"),
        (" I live ", "Yes, I live here", "I live"),
        ("I live\n  here", "Yes, I live here.", "I live here"),
        ("I live here", "Yes, I live\u00a0\n here.", "I live\u00a0\n here"),
        ("don't", "I don\u2019t know", "don\u2019t"),
        ('"so" - it', "\u201cso\u201d \u2014 it is", "\u201cso\u201d \u2014 it"),
        ("wait... what", "wait\u2026 what", "wait\u2026 what"),
        ("caf\u00e9 here", "the cafe\u0301  here", "cafe\u0301  here"),
        ("file fi", "the file \ufb01 is", "file \ufb01"),
    ],
)
def test_quote_is_found_as_it_verbatim_stands(quote: str, message: str, expected: str) -> None:
    """Whitespace and typography do not count, and what is returned is the message's own text."""
    assert expected == find_quote(quote, [message])


@pytest.mark.parametrize(
    ("quote", "message"),
    [
        ("", "anything"),
        ("  \n", "anything"),
        ("i live", "I live here"),
        ("I live there", "I live here"),
        ("I live here", "I live. Here"),
    ],
)
def test_quote_is_not_found_when_its_words_differ(quote: str, message: str) -> None:
    """Case, words and order count; an empty quote stands nowhere."""
    assert None is find_quote(quote, [message])


def test_quote_does_not_span_two_parts() -> None:
    """Every part is searched, none is joined to the next."""
    assert None is find_quote("in Berlin", ["I live in ", "Berlin"])


_FEW = st.sampled_from(
    ["a", "b", " ", "\n", "\u00a0", "'", "\u2019", "-", "\u2014", "\u0301", "\ufb01", "f", "i"]
)


@given(st.lists(_FEW, max_size=5).map("".join), st.lists(_FEW, max_size=30).map("".join))
def test_quote_that_is_found_stands_in_the_message(quote: str, message: str) -> None:
    """What is returned is always a verbatim part."""
    found = find_quote(quote, [message])

    assert found is None or found in message


@given(st.text(min_size=1, max_size=60), st.data())
def test_quote_taken_from_a_message_is_found(message: str, data: st.DataObject) -> None:
    """Any visible part of a message is a quote of it."""
    start = data.draw(st.integers(0, len(message) - 1))
    part = message[start : data.draw(st.integers(start + 1, len(message)))]

    assume(part.strip("\u200b\u2060\ufeff\u00ad").strip())
    assert find_quote(part, [message])
