"""Statements that differ in one respect are never merged, and those that say the same are found."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.pairs import DIFFERENT, DUPLICATE, Counted, Fate, Pair, count_fates, decide_fates
from config.policy import DedupPolicy
from pipelines.adapters.minilm import MiniLmEmbedder

_FILE = Path(__file__).with_name("pairs.txt")
_SAME = "paraphrase"
_MIN_PAIRS = 60
_MIN_FOUND = 0.6


def own_pairs() -> list[Pair]:
    """The pairs that are written beside this module."""
    pairs: list[Pair] = []
    kind = ""
    for line in _FILE.read_text("utf-8").splitlines():
        if line.startswith("["):
            kind = line.strip("[]")
        elif line.strip() and not line.startswith("#"):
            a, b = line.split(" | ")
            pairs.append(Pair(a, b, DUPLICATE if kind == _SAME else DIFFERENT, kind))
    return pairs


@pytest.fixture(scope="module")
def counted() -> dict[str, Counted]:
    """What becomes of the pairs of each kind, by the model and the rules that are shipped."""
    pairs = own_pairs()
    fates = decide_fates(pairs, MiniLmEmbedder(), DedupPolicy())
    return {row.kind: row for row in count_fates(pairs, fates)}


def test_pairs_cover_each_kind_and_none_twice() -> None:
    """At least sixty pairs, ten of each kind."""
    pairs = own_pairs()
    kinds = Counter(pair.kind for pair in pairs)

    assert len(pairs) >= _MIN_PAIRS
    assert {"paraphrase", "number", "negation", "entity", "value"} == kinds.keys()
    assert min(kinds.values()) >= 10
    assert len(pairs) == len({frozenset((pair.a, pair.b)) for pair in pairs})


@pytest.mark.parametrize("kind", ["number", "negation", "entity", "value"])
def test_pairs_are_not_merged_when_they_differ(counted: dict[str, Counted], kind: str) -> None:
    """However near the vectors are, another number, negation, name or value is another truth."""
    assert 0 == counted[kind].fates[Fate.MERGED], counted[kind]


def test_pairs_are_found_when_they_say_the_same(counted: dict[str, Counted]) -> None:
    """Most paraphrases are merged at once or handed to the judge."""
    found = counted[_SAME].share(Fate.MERGED, Fate.ASKED)

    assert found >= _MIN_FOUND, counted[_SAME]
