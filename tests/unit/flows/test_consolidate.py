"""Consolidating one user."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from config.policy import Policies
from pipelines.errors import (
    BadReply,
    BudgetExceeded,
    IndexUnavailable,
    ModelRefused,
    StoreRefused,
    VersionConflict,
)
from pipelines.flows.consolidate import Consolidate
from pipelines.flows.project import Project
from pipelines.model import MemoryState, TranscriptState
from pipelines.outcome import Done, Skipped, Snoozed
from pipelines.ports import ANYWHERE
from pipelines.stages.merging.relate import Relation
from pipelines.testing.index import InMemoryIndex
from pipelines.testing.models import HashEmbedder, InMemoryVerdicts, ScriptedJudge
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import ALICE, START, day, make_fact, make_transcript

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.model import Fact, MemoryId, Owner, Vector
    from pipelines.plan import Plan
    from pipelines.ports import Judge, OwnerClaim
    from pipelines.stages.merging.relate import Pair

LEASE = timedelta(minutes=5)


class World:
    def __init__(
        self,
        stores: InMemoryStores | None = None,
        index: InMemoryIndex | None = None,
        judge: Judge | None = None,
    ) -> None:
        self.stores = stores or InMemoryStores()
        self.index = index or InMemoryIndex()
        self.waker = RecordingWaker()
        self.clock = ManualClock(START)
        self.flow = Consolidate(
            self.stores,
            self.index,
            HashEmbedder(),
            InMemoryVerdicts(),
            judge,
            self.waker,
            self.clock,
            Policies(),
        )

    def push(self, session: str, at: datetime) -> None:
        self.stores.accept([make_transcript(session, session=session, at=at, key=session)], START)

    def distill(self, *facts: Fact) -> None:
        for session in dict.fromkeys(fact.session_id for fact in facts):
            theirs = [fact for fact in facts if fact.session_id == session]
            self.push(session, theirs[0].event_at)
            claim = self.stores.claim_transcript(theirs[0].transcript_id, START, LEASE)
            assert claim is not None
            self.stores.commit_distilled(claim, theirs, [], START)

    def current(self) -> list[str]:
        found = self.stores.export_memories("acme", "alice", None, 100)
        return sorted(m.statement for m in found if m.state is MemoryState.ACTIVE)


def test_consolidate_makes_memories_and_finishes_the_transcript() -> None:
    """Facts become memories, the transcript is done, and the index is woken."""
    world = World()
    fact = make_fact("User likes tea.")
    world.distill(fact)

    outcome = world.flow.run(ALICE)

    assert Done({"facts": 1, "insert": 1, "promote": 1}) == outcome
    assert ["User likes tea."] == world.current()
    assert TranscriptState.DONE is world.stores.status("acme", fact.transcript_id).state
    assert 1 == world.waker.index_wakes
    assert Skipped is type(world.flow.run(ALICE))


def test_consolidate_finds_what_the_index_has_not_seen_yet() -> None:
    """Index lag never makes a duplicate: unprojected memories are candidates too."""
    world = World()
    world.distill(make_fact("User likes green tea."))
    world.flow.run(ALICE)
    world.distill(make_fact("User likes green tea!", session="s2", at=day(1)))

    world.flow.run(ALICE)

    assert ["User likes green tea."] == world.current()


def test_consolidate_finds_near_duplicates_through_the_index() -> None:
    """Once projected, a paraphrase is found among the index's neighbours."""
    world = World()
    world.distill(make_fact("User likes green tea in the afternoon."))
    world.flow.run(ALICE)
    Project(world.stores, world.index, world.clock).run()
    world.distill(make_fact("In the afternoon User likes green tea.", session="s2", at=day(1)))

    world.flow.run(ALICE)

    assert ["User likes green tea in the afternoon."] == world.current()


class Around:
    """``Embedder`` that puts statements around a circle, by degrees."""

    model, size = "around", 2

    def __init__(self, degrees: dict[str, int]) -> None:
        self._degrees = degrees

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        angles = np.radians([self._degrees[text] for text in texts])
        return list(np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))


def test_consolidate_finds_a_place_for_what_a_late_fact_displaces() -> None:
    """Beside what is near to it, though nothing of that is near to the late one."""
    said = {
        "User loves green tea in the afternoon.": 0,
        "User likes green tea in the afternoon.": 30,
        "User really likes green tea in the afternoon.": 90,
        "In the afternoon User likes green tea.": 60,
    }
    days = dict(zip(said, (1, 5, 6, 7), strict=True))
    facts = [make_fact(text, session=f"s{on}", at=day(on)) for text, on in days.items()]

    def remains(portions: list[list[Fact]]) -> list[str]:
        world = World()
        flow = replace(world.flow, embedder=Around(said))
        for portion in portions:
            world.distill(*portion)
            flow.run(ALICE)
            Project(world.stores, world.index, world.clock).run()
        return world.current()

    late, *others = facts
    at_once = remains([facts])
    assert 2 == len(at_once)
    assert at_once == remains([*([fact] for fact in others), [late]])


def test_consolidate_waits_for_an_earlier_session_that_is_being_distilled() -> None:
    """Facts of a later session wait, and go on when the earlier one has been distilled."""
    world = World()
    world.push("early", day(0))
    world.distill(make_fact("User likes tea.", session="late", at=day(5)))

    world.flow.run(ALICE)
    waiting = world.current()
    world.distill(make_fact("User likes coffee.", session="early", at=day(0)))
    world.flow.run(ALICE)

    assert [] == waiting
    assert ["User likes coffee.", "User likes tea."] == world.current()


def test_consolidate_does_not_wait_for_ever_for_earlier_sessions_that_go_on_arriving() -> None:
    """A fact waits the policy's time from when its session was received, whatever comes since."""
    world = World()
    world.distill(make_fact("User lives in Oslo.", session="new", at=day(9)))
    wait = Policies().consolidate.order_wait
    for number in range(4):
        world.clock.advance(wait / 5)
        older = make_transcript(f"old {number}", session=f"old-{number}", at=day(0))
        world.stores.accept([older], world.clock.now())
        world.flow.run(ALICE)
        assert [] == world.current()

    world.clock.advance(wait / 5)
    assert Done is type(world.flow.run(ALICE))
    assert ["User lives in Oslo."] == world.current()


def test_consolidate_stops_waiting_after_the_policy_s_time() -> None:
    """A session whose model is down does not hold up the others for ever."""
    world = World()
    world.push("stuck", day(0))
    world.distill(make_fact("User likes tea.", session="late", at=day(5)))

    world.flow.run(ALICE)
    assert Skipped is type(world.flow.run(ALICE))
    world.clock.advance(Policies().consolidate.order_wait)
    world.flow.run(ALICE)

    assert ["User likes tea."] == world.current()


def test_consolidate_goes_on_at_once_when_facts_arrived_meanwhile() -> None:
    """Facts that come during a consolidation wake the user again at its end."""
    late = make_fact("User likes coffee.", session="s2", at=day(1))

    class Interrupted(InMemoryStores):
        def commit_plan(self, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
            if late.transcript_id not in self._transcripts:
                world.distill(late)
            super().commit_plan(claim, plan, now)

    world = World(Interrupted())
    world.distill(make_fact("User likes tea."))

    world.flow.run(ALICE)

    assert [ALICE] == world.waker.owners
    world.flow.run(ALICE)
    assert ["User likes coffee.", "User likes tea."] == world.current()


def test_consolidate_plans_again_when_a_memory_changed_under_it() -> None:
    """A version conflict is re-read and re-planned, not reported."""

    class Contended(InMemoryStores):
        conflicts = 0

        def commit_plan(self, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
            if self.conflicts < 2:
                self.conflicts += 1
                raise VersionConflict("changed")
            super().commit_plan(claim, plan, now)

    world = World(Contended())
    world.distill(make_fact("User likes tea."))

    assert Done is type(world.flow.run(ALICE))
    assert ["User likes tea."] == world.current()


def test_consolidate_gives_the_user_back_when_the_index_is_away() -> None:
    """The work waits in its row and is done when the index is back."""

    class Away(InMemoryIndex):
        is_away = True

        def neighbours(
            self,
            owner: Owner,
            vectors: Sequence[Vector],
            limit: int,
            *,
            min_cosine: float = ANYWHERE,
        ) -> list[list[MemoryId]]:
            if self.is_away:
                raise IndexUnavailable("no answer")
            return super().neighbours(owner, vectors, limit, min_cosine=min_cosine)

    index = Away()
    world = World(index=index)
    world.distill(make_fact("User likes tea."))

    assert Snoozed is type(world.flow.run(ALICE))
    assert Skipped is type(world.flow.run(ALICE))
    index.is_away = False
    world.clock.advance(timedelta(seconds=40))
    assert Done is type(world.flow.run(ALICE))
    assert ["User likes tea."] == world.current()


def test_consolidate_finds_the_fact_over_which_workers_die() -> None:
    """After deaths a fact goes alone; three alone over the same one, and it is refused."""
    world = World()
    facts = [make_fact(f"User has {n} dogs.", ordinal=n) for n in range(3)]
    world.distill(*facts)

    def die() -> None:
        assert world.stores.claim_owner(ALICE, world.clock.now(), LEASE)
        world.clock.advance(LEASE)

    die()
    die()
    assert Done({"facts": 1, "insert": 1, "promote": 1}) == world.flow.run(ALICE)
    for _ in range(3):
        die()
    assert Done({"facts": 1, "refused": 1}) == world.flow.run(ALICE)
    assert Done({"facts": 1, "insert": 1, "promote": 1}) == world.flow.run(ALICE)

    status = world.stores.status("acme", facts[0].transcript_id)
    assert [None, "killed_its_worker", None] == [report.reason for report in status.facts]
    assert TranscriptState.DONE is status.state


def test_consolidate_goes_on_in_growing_portions_when_a_worker_has_died() -> None:
    """One death costs a user some more transactions, not one for each fact that waits."""

    class Counting(InMemoryStores):
        def commit_plan(self, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
            sizes.append(len(plan.settled))
            super().commit_plan(claim, plan, now)

    sizes: list[int] = []
    world = World(Counting())
    world.distill(*[make_fact(f"User has {n} dogs.", ordinal=n) for n in range(12)])
    assert world.stores.claim_owner(ALICE, world.clock.now(), LEASE)
    world.clock.advance(LEASE)

    world.flow.run(ALICE)

    assert [1, 2, 4, 5] == sizes
    assert 12 == len(world.current())


def test_consolidate_refuses_only_the_fact_that_cannot_be_stored() -> None:
    """A poisonous fact ends refused with its reason; the others become memories."""

    class Picky(InMemoryStores):
        def commit_plan(self, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
            if any("poison" in change.memory.statement for change in plan.changes):
                raise StoreRefused("PostgreSQL: DataError")
            super().commit_plan(claim, plan, now)

    world = World(Picky())
    poison = make_fact("User has poison.", ordinal=1)
    world.distill(make_fact("User likes tea."), poison, make_fact("User has a dog.", ordinal=2))

    world.flow.run(ALICE)

    assert ["User has a dog.", "User likes tea."] == world.current()
    status = world.stores.status("acme", poison.transcript_id)
    assert (TranscriptState.DONE, {"inserted": 2, "refused": 1}) == (status.state, status.counts)


def test_consolidate_gives_the_user_back_when_the_embedder_refuses() -> None:
    """A wrong key holds the facts up, and leaves no lease behind."""

    class Refusing(HashEmbedder):
        def embed(self, texts: Sequence[str]) -> list[Vector]:
            raise ModelRefused(f"401 for {len(texts)} texts")

    world = World()
    world.flow = replace(world.flow, embedder=Refusing())
    world.distill(make_fact("User likes tea."))

    assert Snoozed is type(world.flow.run(ALICE))
    world.clock.advance(timedelta(seconds=40))
    assert Snoozed is type(world.flow.run(ALICE))


def test_consolidate_leaves_other_users_alone() -> None:
    """A user who is held by one worker does not hold up another."""
    world = World()
    world.distill(make_fact("User likes tea."))
    held = world.stores.claim_owner(ALICE, START, LEASE)

    assert held is not None
    assert Skipped is type(world.flow.run(ALICE))


def test_consolidate_asks_the_judge_once_about_all_that_is_ambiguous() -> None:
    """Every open pair is in one question, and the verdicts decide."""
    judge = ScriptedJudge(lambda _: Relation.SAME)
    world = World(judge=judge)
    world.distill(
        make_fact("User likes the green tea of Japan best."),
        make_fact("User wants the long report of March soon.", ordinal=1),
    )
    world.flow.run(ALICE)
    world.distill(
        make_fact("User likes the fine green tea of Japan best.", session="s2", at=day(1)),
        make_fact("User wants the full long report of March.", session="s2", at=day(1), ordinal=1),
    )

    world.flow.run(ALICE)

    assert [2] == [len(pairs) for pairs in judge.asked]
    assert 2 == len(world.current())


def test_consolidate_keeps_both_when_the_judge_gives_no_usable_answer() -> None:
    """A judge that cannot be understood loses nothing: both statements stay."""
    world = World(judge=ScriptedJudge(_refuse))
    world.distill(make_fact("User likes the green tea of Japan best."))
    world.distill(
        make_fact("User likes the fine green tea of Japan best.", session="s2", at=day(1))
    )

    outcome = world.flow.run(ALICE)

    assert isinstance(outcome, Done)
    assert 2 == len(world.current())


def test_consolidate_asks_no_pair_twice() -> None:
    """A verdict is remembered: the same question is not paid again."""
    judge = ScriptedJudge(lambda _: Relation.BOTH)
    world = World(judge=judge)
    for number in range(3):
        world.distill(
            make_fact("User likes the green tea of Japan best.", session=f"a{number}", at=START),
            make_fact(
                "User likes the fine green tea of Japan best.",
                session=f"b{number}",
                at=day(number + 1),
            ),
        )
        world.flow.run(ALICE)

    assert 1 == len(judge.asked)


def _refuse(_: Pair) -> Relation:
    raise BadReply("the answer was empty")


def test_consolidate_waits_for_the_budget_and_the_status_says_so() -> None:
    """Which value holds now is not guessed: the day's budget parks the user's facts, visibly."""
    world = World(judge=ScriptedJudge(_no_money))
    first = make_fact("User lives in Oslo.", attribute="home city", value="Oslo")
    second = make_fact(
        "User lives in Riga.", session="s2", at=day(1), attribute="home city", value="Riga"
    )
    world.distill(first, second)

    outcome = world.flow.run(ALICE)

    assert isinstance(outcome, Snoozed)
    assert timedelta(hours=15) == outcome.delay
    status = world.stores.status("acme", first.transcript_id)
    assert TranscriptState.DISTILLED is status.state
    assert "BudgetExceeded: the user's budget is spent" == status.last_error
    world.clock.advance(timedelta(hours=15))
    assert isinstance(replace(world.flow, judge=None).run(ALICE), Done)


def test_consolidate_keeps_facts_though_there_is_no_money_to_compare_them() -> None:
    """Statements that are alike are known at once; only the question about them waits."""
    world = World(judge=ScriptedJudge(_no_money))
    first = make_fact("User likes the green tea of Japan best.")
    second = make_fact("User likes the fine green tea of Japan best.", session="s2", at=day(1))
    world.distill(first, second)

    assert isinstance(world.flow.run(ALICE), Done)

    assert 2 == len(world.current())
    assert TranscriptState.DONE is world.stores.status("acme", first.transcript_id).state
    world.clock.advance(timedelta(hours=15) - timedelta(seconds=1))
    assert () == world.stores.find_due(world.clock.now(), 10).owners
    world.clock.advance(timedelta(seconds=1))
    assert (ALICE,) == world.stores.find_due(world.clock.now(), 10).owners


def _no_money(_: Pair) -> Relation:
    raise BudgetExceeded(
        "the user's budget is spent", resume_at=START + timedelta(hours=15), is_tenants=False
    )


class PickyEmbedder(HashEmbedder):
    """Refuses a text that it cannot take, and all that is asked for with it."""

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        if any("pill" in text for text in texts):
            raise ModelRefused("the model endpoint answered 400", status=400)
        return super().embed(texts)


def test_fact_that_cannot_be_embedded_holds_up_no_other_fact_of_its_user() -> None:
    """It stays pending, and the row says why; what comes later is kept, too."""
    world = World()
    world.flow = replace(world.flow, embedder=PickyEmbedder())
    world.distill(make_fact("I like tea.", session="s1", at=day(1)))
    world.distill(make_fact("A bitter pill.", session="s2", at=day(2)))

    assert isinstance(world.flow.run(ALICE), Snoozed)
    world.distill(make_fact("I like jam.", session="s3", at=day(3)))
    world.clock.advance(timedelta(hours=2))
    world.flow.run(ALICE)

    assert ["I like jam.", "I like tea."] == world.current()
    assert ["A bitter pill."] == [fact.statement for fact in world.stores.pending_facts(ALICE, 9)]
