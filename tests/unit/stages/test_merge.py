"""New facts against what is known."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from config.policy import DedupPolicy, PromotionPolicy
from pipelines.model import FactOutcome, MemoryState, Scope
from pipelines.plan import Insert, Promote, Reinforce, Supersede
from pipelines.stages.merge import merge
from tests.builders import day, make_fact, vector_of, with_vectors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipelines.model import Fact, Memory, MemoryId, Vector
    from pipelines.plan import Plan

DEDUP = DedupPolicy()
PROMOTION = PromotionPolicy()


def plan_of(facts: Sequence[Fact], known: Iterable[Memory] = ()) -> Plan:
    return merge(with_vectors(facts), known, DEDUP, PROMOTION)


def told(portions: Iterable[Sequence[Fact]]) -> dict[MemoryId, Memory]:
    known: dict[MemoryId, Memory] = {}
    for portion in portions:
        known |= plan_of(portion, known.values()).final_states()
    return known


def current(memories: Iterable[Memory]) -> list[str]:
    return sorted(m.statement for m in memories if m.state is MemoryState.ACTIVE)


def near(vector: Vector, cosine: float) -> Vector:
    """A unit vector at the given cosine to another."""
    other = vector_of("elsewhere")
    other = other - vector * np.float32(other @ vector)
    other /= np.float32(np.linalg.norm(other))
    return np.float32(cosine) * vector + np.float32(np.sqrt(1 - cosine**2)) * other


def test_merge_inserts_and_promotes_what_is_new() -> None:
    """A first statement is a memory of its session, then of the user, as two changes."""
    fact = make_fact("User prefers short answers.")

    plan = plan_of([fact])

    assert [Insert, Promote] == [type(change) for change in plan.changes]
    (memory,) = plan.final_states().values()
    assert (Scope.USER, 2, fact.evidence) == (memory.scope, memory.version, memory.evidence)
    assert FactOutcome.INSERTED is plan.settled[fact.id].outcome
    assert plan.read_versions == {}


def test_merge_leaves_a_trifle_in_its_session() -> None:
    """What is below the policy's importance stays in session scope until it is corroborated."""
    trifle = make_fact("User is debugging the login test.", importance=0.1)
    again = make_fact("User is debugging the login test.", importance=0.1, session="s2", at=day(1))

    first = told([[trifle]])
    both = told([[trifle], [again]])

    assert [memory.scope for memory in first.values()] == [Scope.SESSION]
    assert [memory.scope for memory in both.values()] == [Scope.USER]


def test_merge_reinforces_when_the_same_is_said_again() -> None:
    """A repeated statement adds evidence instead of a row."""
    first = make_fact("User prefers short answers.")
    again = make_fact("User prefers short answers!", session="s2", at=day(3))
    known = told([[first]])

    plan = plan_of([again], known.values())

    (memory,) = plan.final_states().values()
    assert [Reinforce] == [type(change) for change in plan.changes]
    assert first.evidence + again.evidence == memory.evidence
    assert (day(0), day(3)) == (memory.valid_from, memory.confirmed_at)
    assert {memory.id: 2} == plan.read_versions
    assert FactOutcome.REINFORCED is plan.settled[again.id].outcome


def test_merge_reinforces_a_near_paraphrase_but_not_another_number() -> None:
    """Vectors propose, numbers veto."""
    dogs = make_fact("User has two dogs.")
    paraphrase = make_fact("User owns 2 dogs.", session="s2", at=day(1))
    more = make_fact("User has three dogs.", session="s3", at=day(2))
    base = vector_of(dogs.statement)
    pairs = [(dogs, base), (paraphrase, near(base, 0.93)), (more, near(base, 0.96))]

    plan = merge(pairs, (), DEDUP, PROMOTION)

    assert current(plan.final_states().values()) == ["User has three dogs.", "User has two dogs."]
    assert plan.settled[dogs.id].memory_id == plan.settled[paraphrase.id].memory_id


def test_merge_never_crosses_subjects() -> None:
    """What Caroline says is no duplicate of what Melanie says, word for word."""
    caroline = make_fact("I love hiking.", subject="Caroline")
    melanie = make_fact("I love hiking.", subject="Melanie", ordinal=1)

    plan = plan_of([caroline, melanie])

    assert len(plan.final_states()) == 2


def test_merge_supersedes_the_old_value_of_a_slot() -> None:
    """A new city closes the old one at the new one's event time, and links it."""
    berlin = make_fact("User lives in Berlin.", attribute="home city", value="Berlin")
    lisbon = make_fact(
        "User lives in Lisbon.", attribute="home city", value="Lisbon", session="s2", at=day(40)
    )
    known = told([[berlin]])

    plan = plan_of([lisbon], known.values())

    closed = next(change.memory for change in plan.changes if isinstance(change, Supersede))
    assert ("Berlin", day(40)) == (closed.value, closed.valid_to)
    assert plan.settled[lisbon.id].memory_id == closed.superseded_by
    assert current(plan.final_states().values()) == ["User lives in Lisbon."]


def test_merge_does_not_absorb_a_returning_value_into_a_closed_interval() -> None:
    """Moving back home is news, not a repetition."""
    stays = [("Berlin", 0), ("Lisbon", 40), ("Berlin", 90)]
    facts = [
        make_fact(
            f"User lives in {value}.",
            attribute="home city",
            value=value,
            session=f"s{number}",
            at=day(number),
        )
        for value, number in stays
    ]

    memories = told([facts])

    assert len(memories) == 3
    assert current(memories.values()) == ["User lives in Berlin."]


def test_merge_of_exact_duplicates_and_slots_is_the_same_in_every_order_and_portion() -> None:
    """However sessions arrive, the same memories remain, worded by whoever said it first."""
    facts = [
        make_fact("User likes tea.", session="a", at=day(0)),
        make_fact("User likes tea!", session="b", at=day(5)),
        make_fact(
            "User lives in Berlin.", attribute="city", value="Berlin", session="c", at=day(1)
        ),
        make_fact(
            "User lives in Lisbon.", attribute="city", value="Lisbon", session="d", at=day(3)
        ),
    ]

    def outline(memories: Iterable[Memory]) -> set[object]:
        return {
            (m.statement, m.state, m.valid_from, m.valid_to, m.confirmed_at, frozenset(m.evidence))
            for m in memories
        }

    expected = outline(told([facts]).values())
    for order in itertools.permutations(facts):
        assert expected == outline(told([[fact] for fact in order]).values())


def test_merge_settles_every_fact_and_versions_every_change() -> None:
    """No fact is left pending, and each change of a memory is one version more."""
    facts = [
        make_fact(f"User likes tea number {n % 3}.", session=f"s{n}", at=day(n)) for n in range(9)
    ]

    plan = plan_of(facts)

    assert {fact.id for fact in facts} == set(plan.settled)
    for key, memory in plan.final_states().items():
        assert memory.version == sum(change.memory.id == key for change in plan.changes)
