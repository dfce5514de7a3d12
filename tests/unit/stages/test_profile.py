"""Profiles: how a merge patch changes one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pipelines.model import MemoryId
from pipelines.stages.profile import LONGEST_TOLD, ProfileEntry, Section, merge_patch
from tests.builders import ALICE, START, make_fact, vector_of


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ],
)
def test_merge_patch_is_that_of_the_standard(target: Any, patch: Any, merged: Any) -> None:  # noqa: ANN401
    """The examples of RFC 7396 that are about objects."""
    assert merged == merge_patch(target, patch)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("home_city", "Porto", "User's home city: Porto"),
        ("languages", ["German", "Danish"], "User's languages: German, Danish"),
        ("ui-size", {"w": 2}, 'User\'s ui size: {"w": 2}'),
        ("note", "a\n\nb", "User's note: a b"),
        ("vip", True, "User's vip: true"),
    ],
)
def test_entry_is_told_in_words(key: str, value: Any, told: str) -> None:  # noqa: ANN401
    """On one line, and never longer than a prompt can bear."""
    entry = ProfileEntry(
        id=MemoryId(make_fact("x").id),
        owner=ALICE,
        section=Section.LEARNED,
        key=key,
        value=value,
        version=3,
        changed_at=START + timedelta(days=1),
    )
    long = ProfileEntry(entry.id, ALICE, Section.LEARNED, key, "x" * 9_000, 3, START)

    memory = entry.as_memory(vector_of(told))

    assert (told, 3, entry.changed_at) == (memory.statement, memory.version, memory.valid_from)
    assert LONGEST_TOLD == len(long.statement)
