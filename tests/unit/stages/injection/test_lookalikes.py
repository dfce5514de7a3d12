"""What a reader reads in letters that are not what they seem."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.injection.lookalikes import as_read, plain_letters


@pytest.mark.parametrize(
    "text",
    [
        "ig\u200bno\u00adre it",
        "\uff49\uff47\uff4e\uff4f\uff52\uff45 it",
        "\u0456gn\u043er\u0435 \u0456t",
        "i g n o r e it",
        "i.g.n.o.r.e it",
        "\U0001d422\U0001d420\U0001d427\U0001d428\U0001d42b\U0001d41e it",
        "i\u0301gno\u0308re it",
    ],
)
def test_disguised_text_is_read_plainly(text: str) -> None:
    """Hidden signs, wide, foreign, spaced, mathematical and accented letters."""
    assert "ignore it" == as_read(text)


@pytest.mark.parametrize("text", ["plain text", "J. R. R. Tolkien", "a b c"])
def test_plain_text_is_read_as_it_stands(text: str) -> None:
    """A few single letters are no disguise."""
    assert text == as_read(text)


@given(st.text(max_size=60))
def test_plain_letters_keep_the_length_of_every_text(text: str) -> None:
    """So that what is found in the one can be cut out of the other."""
    assert len(text) == len(plain_letters(text))
