from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.adapters.collection import check_sole_model, collection_name, merge_hits
from pipelines.errors import EmbeddingMismatch
from pipelines.model import MemoryId
from pipelines.ports import Hit

ONE, TWO, THREE = (MemoryId(uuid.UUID(int=number)) for number in (1, 2, 3))


def test_collection_name_names_installation_model_and_size() -> None:
    """Whatever a model is called, the name is safe as a folder, a table and a collection."""
    assert "memstill.all-minilm-l6-v2-384" == collection_name("memstill", "all-MiniLM-L6-v2", 384)
    assert "memstill.org-m-3-large-8" == collection_name("memstill", "org/m.3:Large", 8)


@given(st.from_regex(r"[a-z][a-z0-9_-]{0,40}", fullmatch=True), st.text(max_size=120))
def test_collection_name_fits_postgresql_for_any_model(prefix: str, model: str) -> None:
    """PostgreSQL would cut a longer name silently, and two models would share a table."""
    name = collection_name(prefix, model, 8192)
    assert len(name.encode()) <= 63
    assert name.startswith(f"{prefix}.")
    assert name.endswith("-8192")


def test_collection_name_differs_when_long_names_differ_at_the_end() -> None:
    """What is cut off still counts."""
    first, second = (collection_name("m", "x" * 80 + end, 8) for end in ("a", "b"))
    assert first != second


def test_check_sole_model_refuses_when_only_another_model_is_there() -> None:
    """The refusal names both collections."""
    with pytest.raises(EmbeddingMismatch, match=r"'m\.old-8'.*'m\.new-8'"):
        check_sole_model("m.new-8", ["m.old-8", "unrelated"])


@pytest.mark.parametrize(
    "existing", [[], ["m.new-8"], ["m.new-8", "m.old-8"], ["m-staging.old-8", "m2.old-8"]]
)
def test_check_sole_model_accepts_when_it_is_there_or_nothing_of_ours(existing: list[str]) -> None:
    """Installations beside this one, and a predecessor beside its successor, are no mismatch."""
    check_sole_model("m.new-8", existing)


def test_merge_hits_puts_the_best_cosine_first() -> None:
    """Every candidate has its cosine; one that shares no word has no lexical score."""
    hits = merge_hits({ONE: 0.2, TWO: 0.9}, {ONE: 3.0})
    assert [Hit(TWO, 0.9, None), Hit(ONE, 0.2, 3.0)] == hits
