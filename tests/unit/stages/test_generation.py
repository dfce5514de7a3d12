"""Generations: every goal is reached, ids are derived, and what differs is told once."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from pipelines.model import MemoryState, Owner, ReceiptId, Slot
from pipelines.stages.generation import (
    MOVES,
    Changed,
    GenerationId,
    Goal,
    Side,
    Step,
    cite_original,
    compare,
    copied_receipt,
    generation_of,
    shadow_owner,
)
from tests.builders import ALICE, make_fact, make_memory, make_transcript

KEY = GenerationId(uuid.UUID(int=7))
HOME = Slot("Alice", "home city")
RESTING = {Goal.SHADOW: Step.SHADOW, Goal.LIVE: Step.LIVE}


@pytest.mark.parametrize("goal", RESTING)
@pytest.mark.parametrize("step", Step)
def test_user_comes_to_rest_where_the_goal_wants_it(step: Step, goal: Goal) -> None:
    """From every step, in at most three moves."""
    for _ in range(3):
        if (goal, step) in MOVES:
            _, step = MOVES[goal, step]

    assert RESTING[goal] == step


def test_owner_of_a_side_names_its_generation_and_its_user() -> None:
    """Both can be read back, and no two sides share an owner."""
    owners = {side: shadow_owner(ALICE, KEY, side) for side in Side}

    assert [(KEY, side) for side in Side] == [generation_of(owner) for owner in owners.values()]
    assert [ALICE, ALICE] == [owner.live for owner in owners.values()]
    assert generation_of(ALICE) is None
    assert ALICE == ALICE.live


def test_facts_of_a_copy_cite_the_original() -> None:
    """Their ids stay those of the copy, so that both generations can have them."""
    original = make_transcript("I live in Oslo.")
    copy = replace(original, id=copied_receipt(KEY, original.id), copy_of=original.id)
    fact = replace(make_fact("Alice lives in Oslo."), transcript_id=copy.id)

    (cited,) = cite_original([fact], copy)

    assert (fact.id, original.id) == (cited.id, cited.transcript_id)
    assert {original.id} == {item.transcript_id for item in cited.evidence}
    assert [fact] == cite_original([fact], original)


def test_compare_tells_what_is_kept_gone_new_and_changed() -> None:
    """Another wording of a slot's value is no change; what has ended does not count."""
    before = [
        make_memory(make_fact("Alice has a cat.", session="s1")),
        make_memory(make_fact("Alice sings.", session="s2")),
        make_memory(make_fact("Alice lives in Oslo.", session="s3", slot=HOME, value="Oslo")),
        make_memory(make_fact("Alice drove.", session="s4"), state=MemoryState.SUPERSEDED),
    ]
    after = [
        make_memory(make_fact("alice has a cat", session="s5")),
        make_memory(make_fact("Alice paints.", session="s6")),
        make_memory(make_fact("Alice lives in Riga.", session="s7", slot=HOME, value="Riga")),
    ]

    found = compare(before, after)

    assert 1 == found.kept
    assert (before[1],) == found.gone
    assert (after[1],) == found.new
    assert (Changed(HOME, before[2], after[2]),) == found.changed
    reworded = replace(before[2], id=after[0].id, statement="Alice's home is Oslo.")
    assert (1, (), (), ()) == _parts(compare([before[2]], [reworded]))


def _parts(found: object) -> tuple[object, ...]:
    return tuple(getattr(found, name) for name in ("kept", "gone", "new", "changed"))


def test_receipts_of_copies_differ_by_generation() -> None:
    """The same session can be distilled again in one generation after another."""
    receipt = ReceiptId(uuid.UUID(int=1))
    keys = [GenerationId(uuid.UUID(int=number)) for number in range(3)]

    assert 3 == len({copied_receipt(key, receipt) for key in keys})
    assert Owner("acme", "alice") == shadow_owner(ALICE, keys[0], Side.NEXT).live
