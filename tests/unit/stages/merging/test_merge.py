"""New facts against what is known."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.model import FactOutcome, MemoryState, Scope, Slot
from pipelines.plan import Demote, Insert, Promote, Reinforce, Supersede
from pipelines.stages.merging.relate import Pair, Relation, said_in_fact
from tests.builders import day, make_fact, vector_of
from tests.desk import Desk, tell_all

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from pipelines.model import Fact, Vector


def near(vector: Vector, cosine: float) -> Vector:
    """A unit vector at the given cosine to another."""
    other = vector_of("elsewhere")
    other = other - vector * np.float32(other @ vector)
    other /= np.float32(np.linalg.norm(other))
    return np.float32(cosine) * vector + np.float32(np.sqrt(1 - cosine**2)) * other


def pair_key(a: Fact, b: Fact) -> str:
    return Pair(said_in_fact(a), said_in_fact(b), 1.0).key


def test_merge_inserts_and_promotes_what_is_new() -> None:
    """A first statement is a memory of its session, then of the user, as two changes."""
    fact = make_fact("User prefers short answers.")

    plan = Desk().tell(fact)

    assert [Insert, Promote] == [type(change) for change in plan.changes]
    (memory,) = plan.final_states().values()
    assert (Scope.USER, 2, fact.evidence) == (memory.scope, memory.version, memory.evidence)
    assert FactOutcome.INSERTED is plan.settled[fact.id].outcome
    assert plan.read_versions == {}


def test_merge_leaves_a_trifle_in_its_session() -> None:
    """What is below the policy's importance stays in session scope until it is corroborated."""
    trifle = make_fact("User is debugging the login test.", importance=0.1)
    again = make_fact("User is debugging the login test.", importance=0.1, session="s2", at=day(1))

    first = tell_all([[trifle]])
    both = tell_all([[trifle], [again]])

    assert [memory.scope for memory in first.memories.values()] == [Scope.SESSION]
    assert [memory.scope for memory in both.memories.values()] == [Scope.USER]


def test_merge_reinforces_when_the_same_is_said_again() -> None:
    """A repeated statement adds evidence instead of a row."""
    first = make_fact("User prefers short answers.")
    again = make_fact("User prefers short answers!", session="s2", at=day(3))
    plan = tell_all([[first]]).tell(again)

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
    vectors = {
        dogs.statement: base,
        paraphrase.statement: near(base, 0.93),
        more.statement: near(base, 0.96),
    }

    desk = tell_all([[dogs, paraphrase, more]], vectors=vectors.__getitem__)

    assert ["User has three dogs.", "User has two dogs."] == desk.current()
    assert desk.homes[dogs.id] == desk.homes[paraphrase.id]


def test_merge_never_crosses_subjects() -> None:
    """What Caroline says is no duplicate of what Melanie says, word for word."""
    caroline = make_fact("I love hiking.", subject="Caroline")
    melanie = make_fact("I love hiking.", subject="Melanie", ordinal=1)

    assert len(tell_all([[caroline, melanie]]).memories) == 2


def test_merge_supersedes_the_old_value_of_a_slot() -> None:
    """A new city closes the old one at the new one's event time, and links it."""
    berlin = make_fact("User lives in Berlin.", attribute="home city", value="Berlin")
    lisbon = make_fact(
        "User lives in Lisbon.", attribute="home city", value="Lisbon", session="s2", at=day(40)
    )
    desk = tell_all([[berlin]])

    plan = desk.tell(lisbon)

    closed = next(change.memory for change in plan.changes if isinstance(change, Supersede))
    assert ("Berlin", day(40)) == (closed.value, closed.valid_to)
    assert plan.settled[lisbon.id].memory_id == closed.superseded_by
    assert ["User lives in Lisbon."] == desk.current()


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

    desk = tell_all([facts])

    assert 3 == len(desk.memories)
    assert ["User lives in Berlin."] == desk.current()


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

    expected = tell_all([facts]).outline()
    for order in itertools.permutations(facts):
        assert expected == tell_all([[fact] for fact in order]).outline()


def test_merge_settles_every_fact_and_versions_every_change() -> None:
    """No fact is left pending, and each change of a memory is one version more."""
    facts = [
        make_fact(f"User likes tea number {n % 3}.", session=f"s{n}", at=day(n)) for n in range(9)
    ]

    plan = Desk().tell(*facts)

    assert {fact.id for fact in facts} == set(plan.settled)
    for key, memory in plan.final_states().items():
        assert memory.version == sum(change.memory.id == key for change in plan.changes)


def test_merge_takes_the_judge_at_its_word_when_the_rules_leave_a_pair_open() -> None:
    """What only meaning tells apart is one memory with a verdict, and two without."""
    walks = make_fact("User likes hiking.")
    hikes = make_fact("User enjoys long walks outdoors.", session="s2", at=day(1))
    base = vector_of(walks.statement)
    vectors = {walks.statement: base, hikes.statement: near(base, 0.8)}.__getitem__
    verdicts = {pair_key(walks, hikes): Relation.SAME}

    unjudged = tell_all([[walks], [hikes]], vectors=vectors)
    judged = tell_all([[walks], [hikes]], vectors=vectors, verdicts=verdicts)

    assert 2 == len(unjudged.memories)
    assert ["User likes hiking."] == judged.current()


def test_merge_demotes_what_loses_its_corroboration() -> None:
    """A trifle that two sessions carried goes back when one of them turns out to mean another."""
    first = make_fact("x likes b.", session="s2", at=day(2), importance=0.1)
    second = make_fact("x likes c.", session="s3", at=day(3), importance=0.1)
    late = make_fact("x likes a.", session="s1", at=day(1), importance=0.1)
    verdicts = {pair_key(first, second): Relation.SAME, pair_key(late, second): Relation.SAME}
    desk = tell_all([[first], [second]], verdicts=verdicts, vectors=lambda _: vector_of("x"))
    assert {Scope.USER} == {memory.scope for memory in desk.memories.values()}

    plan = desk.tell(late)

    (demoted,) = (change.memory for change in plan.changes if isinstance(change, Demote))
    assert ("x likes b.", Scope.SESSION) == (demoted.statement, demoted.scope)
    assert desk.homes[late.id] == desk.homes[second.id] != desk.homes[first.id] == demoted.id


def test_merge_ends_a_value_among_many_and_nothing_else() -> None:
    """Of the languages only the one that was given up is retired."""
    french = make_fact("User speaks French.", slot=Slot("user", "language", "french"))
    greek = make_fact("User speaks Greek.", slot=Slot("user", "language", "greek"), ordinal=1)
    ended = make_fact(
        "User does not speak French any more.",
        slot=Slot("user", "language", "french"),
        ends=True,
        session="s2",
        at=day(9),
    )
    for order in itertools.permutations([french, greek, ended]):
        desk = tell_all([[fact] for fact in order])
        assert ["User does not speak French any more.", "User speaks Greek."] == desk.current()


@pytest.mark.parametrize("slot", [None, Slot("user", "home city")])
def test_merge_makes_one_memory_of_what_one_session_told_twice(slot: Slot | None) -> None:
    """Equal facts of one transcript are no rows of their own, and corroborate nothing."""
    told = [make_fact("User lives in Berlin.", importance=0.1, ordinal=n) for n in range(3)]
    facts = [replace(told[0], slot=slot, value="Berlin" if slot else None), *told[1:]]

    for order in itertools.permutations(facts):
        desk = tell_all([[fact] for fact in order])
        assert [(Scope.SESSION, slot)] == [(m.scope, m.slot) for m in desk.memories.values()]
        assert 1 == len(set(desk.homes.values()))
        assert 3 == len(desk.homes)
    assert tell_all([facts]).outline() == desk.outline()


def test_merge_gives_a_statement_its_slot_whichever_was_told_first() -> None:
    """One statement with and without a slot is one memory."""
    plain = make_fact("User lives in Berlin.", session="s1", at=day(1))
    slotted = make_fact(
        "User lives in Berlin.", attribute="home city", value="Berlin", session="s2", at=day(2)
    )
    moved = make_fact(
        "User lives in Rome.", attribute="home city", value="Rome", session="s3", at=day(3)
    )
    for order in itertools.permutations([plain, slotted, moved]):
        desk = tell_all([[fact] for fact in order])
        assert ["User lives in Rome."] == desk.current()
        assert 2 == len(desk.memories)


@given(
    st.lists(st.integers(0, 12), min_size=2, max_size=6, unique=True),
    st.sets(st.tuples(st.integers(0, 12), st.integers(0, 12))),
    st.randoms(use_true_random=False),
)
def test_merge_of_paraphrases_is_the_same_in_every_order_and_portion(
    days: list[int], same: set[tuple[int, int]], random: Random
) -> None:
    """Chains of paraphrases come out alike, whoever arrives first and with whom."""
    facts = [make_fact(f"x likes {'abcdefghijklm'[n]}.", session=f"s{n}", at=day(n)) for n in days]
    numbered = dict(zip(days, facts, strict=True))
    verdicts = {
        pair_key(numbered[a], numbered[b]): Relation.SAME
        for a, b in same
        if a in numbered and b in numbered and a != b
    }

    def told(portions: Iterable[list[Fact]]) -> Desk:
        return tell_all(portions, verdicts=verdicts, vectors=lambda _: vector_of("x"))

    expected = told([sorted(facts, key=lambda fact: fact.order)])
    shuffled = random.sample(facts, len(facts))
    cut = random.randint(0, len(facts))

    for desk in (told([[fact] for fact in shuffled]), told([shuffled[:cut], shuffled[cut:]])):
        assert expected.outline() == desk.outline()
        evidence = [item for m in desk.memories.values() for item in m.evidence]
        assert len(facts) == len(evidence) == len(set(evidence))
        assert all(MemoryState.MERGED is m.state or m.evidence for m in desk.memories.values())


def test_evicted_memory_is_told_again_when_it_is_said_again() -> None:
    """It is the same memory, not a second one."""
    first = make_fact("User prefers short answers.")
    desk = tell_all([[first]])
    (known,) = desk.memories.values()
    desk.memories[known.id] = replace(known, evicted_at=day(90))

    plan = desk.tell(make_fact("User prefers short answers!", session="s2", at=day(99)))

    (memory,) = plan.final_states().values()
    assert [Reinforce] == [type(change) for change in plan.changes]
    assert (known.id, None) == (memory.id, memory.evicted_at)


def test_evicted_value_of_a_slot_is_retired_without_being_told_again() -> None:
    """That something else holds now is no use of it."""
    porto = make_fact("User lives in Porto.", attribute="home city", value="Porto")
    desk = tell_all([[porto]])
    (known,) = desk.memories.values()
    desk.memories[known.id] = replace(known, evicted_at=day(90))
    turin = make_fact(
        "User lives in Turin.", attribute="home city", value="Turin", session="s2", at=day(99)
    )

    after = desk.tell(turin).final_states()[known.id]

    assert (MemoryState.SUPERSEDED, day(90)) == (after.state, after.evicted_at)


def test_pin_stays_on_whatever_a_memory_becomes() -> None:
    """Also when it is said again, retired, or merged into another."""
    first = make_fact("User lives in Porto.", attribute="home city", value="Porto", at=day(5))
    desk = tell_all([[first]])
    (known,) = desk.memories.values()
    desk.memories[known.id] = replace(known, pinned=True)

    again = make_fact(
        "User lives in Porto.", attribute="home city", value="Porto", session="s0", at=day(1)
    )
    turin = make_fact(
        "User lives in Turin.", attribute="home city", value="Turin", session="s2", at=day(9)
    )
    states = desk.tell(again, turin).final_states().values()

    pinned = {memory.value for memory in states if memory.pinned}
    assert {"Porto"} == pinned
