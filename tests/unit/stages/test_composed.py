"""Unicode in its compatible form, in linear time."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.composed import compatible, without_heaps, without_marks

few_marks = st.text(max_size=30)


@given(few_marks)
def test_compatible_is_the_normal_form_where_no_marks_are_heaped(text: str) -> None:
    """Thirty characters can hold no heap: nothing is left out."""
    assert unicodedata.normalize("NFKC", text) == compatible(text)


def test_compatible_leaves_out_the_marks_behind_the_thirtieth() -> None:
    """What no script has, and what takes quadratic time to sort."""
    assert "a" + "\u0327" * 30 + "b" == without_heaps("a" + "\u0327" * 5_000 + "b")


@given(few_marks)
def test_without_marks_keeps_every_letter(text: str) -> None:
    """What is taken off are accents and other marks, and nothing else."""
    letters = unicodedata.normalize("NFD", text)
    expected = "".join(sign for sign in letters if not unicodedata.combining(sign))
    assert expected == without_marks(text)
