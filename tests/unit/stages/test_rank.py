"""The order in which candidates are told."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.retrieval import RankPolicy
from pipelines.model import MemoryId, MemoryState, Slot
from pipelines.stages.rank import Candidate, Ranked, rank, reorder
from tests.builders import day, make_fact, make_memory, vector_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from pipelines.model import Memory, Vector

NOW = day(100)
POLICY = RankPolicy()
BARE = RankPolicy(
    dense_weight=0.8,
    lexical_weight=0.2,
    strength_weight=0.0,
    diversity=0.0,
    same_message_penalty=0.0,
)


def memory_of(statement: str, number: int, **changes: Any) -> Memory:  # noqa: ANN401 - any field
    """A memory on a message and with an id of its own, both from ``number``."""
    fact = make_fact(statement, ordinal=number, at=day(0))
    return make_memory(fact, **{"id": MemoryId(uuid.UUID(int=number)), **changes})


def told(ranked: Sequence[Ranked]) -> list[str]:
    return [item.memory.statement for item in ranked]


def leaning(vector: Vector, cosine: float, seed: str) -> Vector:
    """A unit vector at the given cosine to another."""
    other = vector_of(seed)
    other = other - vector * np.float32(other @ vector)
    other /= np.float32(np.linalg.norm(other))
    return np.float32(cosine) * vector + np.float32(np.sqrt(1 - cosine**2)) * other


def test_rank_mixes_both_legs_when_each_found_something() -> None:
    """The score is the weighted cosine plus the lexical score as a share of the best one."""
    both, dense = memory_of("Keeps bees.", 1), memory_of("Grows figs.", 2)
    candidates = [Candidate(dense, 0.5, None), Candidate(both, 0.4, 12.0)]

    ranked = rank([*candidates, Candidate(memory_of("Sails.", 3), 0.1, 6.0)], NOW, BARE)

    scores = {item.memory.statement: item.score for item in ranked}
    assert ["Keeps bees.", "Grows figs.", "Sails."] == told(ranked)
    assert scores == pytest.approx(
        {"Keeps bees.": 0.8 * 0.4 + 0.2, "Grows figs.": 0.8 * 0.5, "Sails.": 0.8 * 0.1 + 0.2 * 0.5}
    )


def test_rank_orders_by_meaning_alone_when_no_word_is_shared() -> None:
    """Without any lexical score the cosine decides."""
    near, far = memory_of("Keeps bees.", 1), memory_of("Grows figs.", 2)

    ranked = rank([Candidate(far, 0.2, None), Candidate(near, 0.7, None)], NOW, POLICY)

    assert ["Keeps bees.", "Grows figs."] == told(ranked)


def test_rank_is_empty_when_nothing_was_found() -> None:
    """No candidates are no error."""
    assert rank([], NOW, POLICY) == []


def test_rank_prefers_another_matter_when_one_is_already_told() -> None:
    """Of two equally near memories the one unlike those above comes first."""
    query = vector_of("query")
    first = leaning(query, 0.8, "a")
    candidates = [
        Candidate(memory_of("Keeps bees.", 1, vector=first), 0.8, None),
        Candidate(memory_of("Has beehives.", 2, vector=leaning(first, 0.99, "b")), 0.7, None),
        Candidate(memory_of("Sails.", 3, vector=leaning(query, 0.7, "c")), 0.69, None),
    ]

    assert ["Keeps bees.", "Has beehives.", "Sails."] == told(rank(candidates, NOW, BARE))
    assert ["Keeps bees.", "Sails.", "Has beehives."] == told(rank(candidates, NOW, POLICY))


def test_rank_prefers_another_message_when_one_is_already_cited() -> None:
    """A memory on the same message as one above gives way to one nearly as relevant."""
    policy = RankPolicy(diversity=0.0)
    first = memory_of("Keeps bees.", 1)
    same = memory_of("Sells honey.", 2, evidence=first.evidence)
    candidates = [
        Candidate(first, 0.8, None),
        Candidate(same, 0.7, None),
        Candidate(memory_of("Sails.", 3), 0.65, None),
    ]

    assert ["Keeps bees.", "Sails.", "Sells honey."] == told(rank(candidates, NOW, policy))


def test_rank_shows_a_statement_once_when_memories_repeat_it() -> None:
    """Of memories that say the same of one subject the newest stands at the best one's place."""
    old = memory_of("User has two hens.", 1)
    new = memory_of("the user has 2 hens", 2, valid_from=day(5))
    other = memory_of("User has two hens.", 3, subject="Ana")
    candidates = [Candidate(old, 0.9, None), Candidate(new, 0.8, None), Candidate(other, 0.1, None)]

    ranked = rank(candidates, NOW, BARE)

    assert [new, other] == [item.memory for item in ranked]
    assert pytest.approx(0.8 * 0.9) == ranked[0].score


def test_rank_puts_the_newest_first_when_memories_share_a_slot() -> None:
    """The present value of a slot precedes an older one, at the places that they hold."""
    slot = Slot("user", "city")
    old = memory_of("Lives in Porto.", 1, slot=slot)
    new = memory_of("Lives in Turin.", 2, slot=slot, valid_from=day(9))
    between = memory_of("Keeps bees.", 3)
    cosines = ((old, 0.9), (between, 0.6), (new, 0.3))

    ranked = rank([Candidate(memory, cosine, None) for memory, cosine in cosines], NOW, BARE)

    assert ["Lives in Turin.", "Keeps bees.", "Lives in Porto."] == told(ranked)


def test_rank_leaves_out_what_ceased_to_hold() -> None:
    """A memory whose interval is closed by now is no knowledge of the present."""
    ended = memory_of("Lives in Porto.", 1, valid_to=day(50), state=MemoryState.SUPERSEDED)
    ending = memory_of("Rents a flat.", 2, valid_to=day(101))

    ranked = rank([Candidate(ended, 0.9, None), Candidate(ending, 0.2, None)], NOW, POLICY)

    assert ["Rents a flat."] == told(ranked)


def test_rank_orders_equals_by_confirmation_then_by_id() -> None:
    """Nothing about the order is left to chance."""
    shared = vector_of("shared")
    plain = [memory_of(f"Owns boat {number}.", number, vector=shared) for number in (1, 2, 3)]
    fresh = replace(plain[2], confirmed_at=day(9))

    ranked = rank([Candidate(one, 0.5, None) for one in (plain[1], plain[0], fresh)], NOW, POLICY)

    assert [fresh, plain[0], plain[1]] == [item.memory for item in ranked]


def test_rank_prefers_the_stronger_when_relevance_is_nearly_equal() -> None:
    """What was said lately, or in many sessions, wins by a hair and no more."""
    shared = vector_of("shared")
    faint = memory_of("Owns a boat.", 1, vector=shared, confirmed_at=day(-900))
    fresh = memory_of("Owns a kayak.", 2, vector=shared, confirmed_at=day(99))

    near = rank([Candidate(faint, 0.501, None), Candidate(fresh, 0.5, None)], NOW, POLICY)
    clear = rank([Candidate(faint, 0.55, None), Candidate(fresh, 0.5, None)], NOW, POLICY)

    assert ["Owns a kayak.", "Owns a boat."] == told(near)
    assert ["Owns a boat.", "Owns a kayak."] == told(clear)


def test_reorder_puts_what_was_scored_first_and_leaves_the_rest() -> None:
    """The reranker's order counts as far as it looked, and slots keep their newest first."""
    slot = Slot("user", "city")
    old = memory_of("Lives in Porto.", 1, slot=slot)
    new = memory_of("Lives in Turin.", 2, slot=slot, valid_from=day(9))
    bees, far = memory_of("Keeps bees.", 3), memory_of("Sails.", 4)
    ranked = [Ranked(memory, 0.5) for memory in (bees, new, old, far)]

    ordered = reorder(ranked, {bees.id: -3.0, old.id: 2.0, new.id: 1.0})

    assert ["Lives in Turin.", "Lives in Porto.", "Keeps bees.", "Sails."] == told(ordered)
    assert told(ranked) == told(reorder(ranked, {}))


@st.composite
def candidate_lists(draw: st.DrawFn) -> list[Candidate]:
    """Candidates with ties in score, text, slot, message and time."""
    score = st.sampled_from([0.0, 0.25, 0.5, 1.0])
    size = draw(st.integers(0, 12))
    return [
        Candidate(
            memory_of(
                draw(st.sampled_from(["Keeps bees.", "keeps bees", "Sails.", "Grows figs."])),
                number,
                slot=draw(st.sampled_from([None, Slot("user", "city"), Slot("user", "job")])),
                valid_from=day(draw(st.integers(0, 3))),
                confirmed_at=day(draw(st.integers(3, 6))),
                evidence=make_fact("x", ordinal=draw(st.integers(0, 3))).evidence,
                vector=vector_of(str(draw(st.integers(0, 3)))),
            ),
            draw(score),
            draw(st.none() | score),
        )
        for number in range(size)
    ]


@given(candidate_lists(), st.randoms(use_true_random=False))
def test_rank_is_the_same_when_the_input_is_shuffled(
    candidates: list[Candidate], random: Random
) -> None:
    """The order of the hits leaves no trace."""
    shuffled = list(candidates)
    random.shuffle(shuffled)

    assert rank(candidates, NOW, POLICY) == rank(shuffled, NOW, POLICY)


@given(candidate_lists())
def test_rank_returns_each_thing_said_exactly_once(candidates: list[Candidate]) -> None:
    """Nothing that was found is lost but for repetitions, and nothing is invented."""
    ranked = rank(candidates, NOW, POLICY)

    said = [item.memory.statement.rstrip(".").casefold() for item in ranked]
    assert {item.memory.statement.rstrip(".").casefold() for item in candidates} == set(said)
    assert len(said) == len(set(said))
    assert {item.memory.id for item in ranked} <= {item.memory.id for item in candidates}
