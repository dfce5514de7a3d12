"""Pairs that wait for company before a judge is asked, and what becomes of them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from config.policy import JudgePolicy, Policies
from pipelines.errors import BadReply, StoreRefused
from pipelines.flows.consolidate import Consolidate
from pipelines.flows.project import Project
from pipelines.model import MemoryState
from pipelines.stages.merging.relate import Relation
from pipelines.testing.index import InMemoryIndex
from pipelines.testing.models import HashEmbedder, InMemoryVerdicts, ScriptedJudge
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import ALICE, START, day, make_fact, make_transcript

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from pipelines.model import Fact
    from pipelines.plan import Plan
    from pipelines.ports import OwnerClaim
    from pipelines.stages.merging.relate import Pair

LEASE, WAIT = timedelta(minutes=5), timedelta(hours=6)
# Alike, but not so much that they most likely say the same.
GREEN, LIKED = "User likes the green tea of Japan best.", "User likes green tea from Japan."
# So much that they do.
FINE = "User likes the fine green tea of Japan best."
ALIKE = (GREEN, LIKED, "User likes black tea of Japan.", "User walks the dog at noon.")


class World:
    """Sessions come in one by one; the judge says what the test wants."""

    def __init__(
        self,
        rule: Callable[[Pair], Relation] = lambda _: Relation.SAME,
        policy: JudgePolicy | None = None,
        stores: InMemoryStores | None = None,
    ) -> None:
        self.stores, self.index = stores or InMemoryStores(), InMemoryIndex()
        self.waker, self.clock = RecordingWaker(), ManualClock(START)
        self.judge = ScriptedJudge(rule)
        self.flow = Consolidate(
            self.stores,
            self.index,
            HashEmbedder(),
            InMemoryVerdicts(),
            self.judge,
            self.waker,
            self.clock,
            Policies(judge=policy or JudgePolicy(wait=WAIT)),
        )

    def tell(self, *facts: Fact) -> None:
        for session in dict.fromkeys(fact.session_id for fact in facts):
            theirs = [fact for fact in facts if fact.session_id == session]
            pushed = make_transcript(session, session=session, at=theirs[0].event_at, key=session)
            self.stores.accept([pushed], self.clock.now())
            claim = self.stores.claim_transcript(pushed.id, self.clock.now(), LEASE)
            assert claim is not None
            self.stores.commit_distilled(claim, theirs, [], self.clock.now())
        self.work()

    def work(self) -> None:
        self.flow.run(ALICE)
        Project(self.stores, self.index, self.clock).run()

    def current(self) -> list[str]:
        found = self.stores.export_memories("acme", "alice", None, 100)
        return sorted(m.statement for m in found if m.state is MemoryState.ACTIVE)

    def asked(self) -> list[int]:
        return [len(pairs) for pairs in self.judge.asked]


def said(statement: str, number: int, **changes: object) -> Fact:
    return make_fact(statement, session=f"s{number}", at=day(number), **changes)  # type: ignore[arg-type]


def test_alike_statements_stand_side_by_side_until_they_have_waited_long_enough() -> None:
    """Nobody is asked at once; when the time is over the user is due, and the two become one."""
    world = World()
    world.tell(said(GREEN, 1))
    world.tell(said(LIKED, 2))
    assert ([], sorted([GREEN, LIKED])) == (world.asked(), world.current())

    world.clock.advance(WAIT - timedelta(seconds=1))
    assert () == world.stores.find_due(world.clock.now(), 10).owners
    world.clock.advance(timedelta(seconds=1))
    assert (ALICE,) == world.stores.find_due(world.clock.now(), 10).owners
    world.work()

    assert ([1], [GREEN]) == (world.asked(), world.current())
    assert [] == world.stores.load_reviews(ALICE)
    assert () == world.stores.find_due(world.clock.now() + WAIT, 10).owners


def test_alike_statements_are_asked_about_when_a_worker_had_died_over_the_user() -> None:
    """Whoever goes on warily, fact by fact, leaves the user due for the pairs that it opened."""
    world = World()
    world.tell(said(GREEN, 1))
    world.stores.mark_owner_due(ALICE, world.clock.now())
    assert world.stores.claim_owner(ALICE, world.clock.now(), LEASE) is not None
    world.clock.advance(LEASE)
    world.tell(said(LIKED, 2))
    assert 1 == len(world.stores.load_reviews(ALICE))

    world.work()
    world.clock.advance(WAIT)
    world.work()

    assert ([1], [GREEN]) == (world.asked(), world.current())
    assert [] == world.stores.load_reviews(ALICE)


def test_enough_pairs_are_asked_about_at_once_all_in_one_question() -> None:
    """Those that waited come along."""
    world = World(lambda _: Relation.BOTH, JudgePolicy(company=2))
    world.tell(said(GREEN, 1))
    world.tell(said(LIKED, 2))
    world.tell(said("User plays chess with Ben on every Sunday.", 3))
    assert [] == world.asked()

    world.tell(said("User plays chess with Ben on Sunday at home.", 4))

    assert [2] == world.asked()
    assert [] == world.stores.load_reviews(ALICE)


def test_pair_that_most_likely_says_the_same_takes_along_what_waits() -> None:
    """It is asked about at once, and the other pair in the same question."""
    world = World()
    world.tell(said(GREEN, 1))
    world.tell(said("User plays chess with Ben on every Sunday.", 2))
    world.tell(said("User plays chess with Ben on Sunday at home.", 3))
    assert [] == world.asked()

    world.tell(said(FINE, 4))

    assert ([2], 2) == (world.asked(), len(world.current()))


def test_values_of_one_slot_never_wait() -> None:
    """What holds now is settled with the session that says it."""
    world = World(lambda _: Relation.CHANGED)
    world.tell(said("User lives in Oslo.", 1, attribute="home city", value="Oslo"))

    world.tell(said("User lives in Riga.", 2, attribute="home city", value="Riga"))

    assert ([1], ["User lives in Riga."]) == (world.asked(), world.current())


def test_judge_that_cannot_be_understood_is_not_asked_again_and_again() -> None:
    """After the question nothing waits any more, whatever came of it."""

    def refuse(_: Pair) -> Relation:
        raise BadReply("the answer was empty")

    world = World(refuse, JudgePolicy(company=1))
    world.tell(said(GREEN, 1))
    world.tell(said(LIKED, 2))

    assert ([1], sorted([GREEN, LIKED])) == (world.asked(), world.current())
    assert [] == world.stores.load_reviews(ALICE)


def test_nothing_waits_where_nobody_can_be_asked() -> None:
    """Without a judge no review is noted, and no user is woken for one."""
    world = World()
    world.flow = replace(world.flow, judge=None)
    world.tell(said(GREEN, 1))
    world.tell(said(LIKED, 2))

    assert [] == world.stores.load_reviews(ALICE)
    assert () == world.stores.find_due(world.clock.now() + 2 * WAIT, 10).owners


def test_statement_that_is_repeated_does_not_weigh_more() -> None:
    """However often it is said: one pair is one pair."""
    world = World(policy=JudgePolicy(company=3, wait=WAIT))
    world.tell(said(GREEN, 1))
    for number in range(2, 8):
        world.tell(said(LIKED, number))

    assert [1] == [review.weight for review in world.stores.load_reviews(ALICE)]
    assert [] == world.asked()


def test_review_that_cannot_be_stored_is_dropped_and_takes_nothing_along() -> None:
    """The facts that came with it are known, and nobody tries again for ever."""

    class Stores(InMemoryStores):
        __slots__ = ()

        def commit_plan(self, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
            if plan.reviewed and plan.changes:
                raise StoreRefused("these values cannot be stored")
            super().commit_plan(claim, plan, now)

    world = World(policy=JudgePolicy(company=1, wait=WAIT), stores=Stores())
    world.tell(said(GREEN, 1))
    world.tell(said(LIKED, 2))

    assert sorted([GREEN, LIKED]) == world.current()
    assert [] == world.stores.load_reviews(ALICE)


def same_tea(pair: Pair) -> Relation:
    is_green = "green" in pair.earlier.statement and "green" in pair.later.statement
    return Relation.SAME if is_green else Relation.BOTH


@examples(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(ALIKE), st.integers(1, 9)), max_size=8), st.data())
def test_what_waited_ends_as_if_it_had_been_asked_at_once(
    told: list[tuple[str, int]], data: st.DataObject
) -> None:
    """In any order of arrival, asked late or at once: the same memories."""
    facts = [
        make_fact(text, session=f"s{number}", at=day(at)) for number, (text, at) in enumerate(told)
    ]
    shuffled = data.draw(st.permutations(facts))

    late = _tell_all(shuffled, JudgePolicy(wait=WAIT))
    at_once = _tell_all(facts, JudgePolicy(wait=timedelta(0)))

    assert at_once == late


def _tell_all(facts: Sequence[Fact], policy: JudgePolicy) -> list[tuple[str, datetime, int]]:
    world = World(same_tea, policy)
    for fact in facts:
        world.tell(fact)
    # What is learnt in a review may leave another pair open.
    for _ in range(3):
        world.clock.advance(WAIT)
        world.work()
    return sorted(
        (memory.statement, memory.valid_from, len(memory.evidence))
        for memory in world.stores.export_memories("acme", "alice", None, 100)
        if memory.state is MemoryState.ACTIVE
    )
