"""How two statements relate where rules cannot tell."""

from __future__ import annotations

from dataclasses import replace

from config.policy import DedupPolicy
from pipelines.stages.merging.relate import Relation, Relations, said_in_fact, said_in_memory
from pipelines.stages.verbatim import VERBATIM
from tests.builders import make_fact, make_memory, vector_of

FACT = make_fact("User got a puppy.")
BESIDE = make_fact("User: Look at my new dog!", ordinal=1, distilled_by=VERBATIM)


def test_relations_leave_a_pair_of_facts_to_the_judge() -> None:
    """What is near and not alike enough is asked about once."""
    relations = Relations(DedupPolicy(), lambda _: vector_of("x"))
    model_fact = replace(BESIDE, distilled_by="model/1")

    assert not relations.are_same(said_in_fact(FACT), said_in_fact(model_fact))
    assert 1 == len(relations.open)


def test_relations_ask_nothing_about_what_was_only_said_beside_the_facts() -> None:
    """Sentences kept verbatim are many and minor: no question is paid for them."""
    relations = Relations(DedupPolicy(), lambda _: vector_of("x"))

    for said in (said_in_fact(BESIDE), said_in_memory(make_memory(BESIDE))):
        assert not relations.are_same(said_in_fact(FACT), said)
        assert not relations.are_same(said, said_in_fact(FACT))
    assert {} == relations.open


def test_relations_merge_what_is_said_twice_when_one_of_it_is_verbatim() -> None:
    """The rules alone decide: the same words are the same, wherever they were kept."""
    relations = Relations(DedupPolicy(), vector_of, {"any": Relation.BOTH})
    again = replace(FACT, distilled_by=VERBATIM)

    assert relations.are_same(said_in_fact(FACT), said_in_fact(again))
