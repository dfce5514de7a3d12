"""Whether what is measured on invented words says anything of real ones."""

from __future__ import annotations

from random import Random
from statistics import mean

from benchmarks.load.vocabulary import ask, say
from pipelines.adapters.lexical import document_vector, query_vector


def test_a_question_shares_a_word_with_as_many_memories_as_in_real_conversations() -> None:
    """A fifth of them, by the LoCoMo conversations; with a memory stands its passage."""
    dice = Random(1)
    memories = [
        set(document_vector(" ".join(say(dice) for _ in range(4))).indices) for _ in range(1_000)
    ]
    asked = [set(query_vector(ask(dice)).indices) for _ in range(100)]

    shares = [mean(not words.isdisjoint(memory) for memory in memories) for words in asked]

    assert 0.15 < mean(shares) < 0.25
    assert 20 < mean(map(len, memories)) < 35


def test_hardly_any_sentence_is_said_twice() -> None:
    """What is said again is no new memory."""
    dice = Random(1)
    assert len({say(dice) for _ in range(10_000)}) > 9_990
