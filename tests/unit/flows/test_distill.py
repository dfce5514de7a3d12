"""Distilling one transcript."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from config.retrieval import VerbatimPolicy
from pipelines.errors import BadReply, BudgetExceeded, ModelUnavailable, StoreUnavailable
from pipelines.flows.turns import AT_THE_HEAD
from pipelines.model import Draft, Kind, Lane, Owner, Role, Transcript, TranscriptState
from pipelines.outcome import Done, Skipped, Snoozed
from pipelines.stages.injection.fence import fence
from pipelines.stages.verbatim import VERBATIM
from pipelines.testing.stores import InMemoryStores
from tests.builders import ALICE, START, make_transcript
from tests.unit.flows.distilling import DELAY, LEASE, World, fail_with, quote_everything

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.model import Fact, Refusal
    from pipelines.ports import Place, TranscriptClaim


def talk(session: str, tenant: str = "acme") -> Transcript:
    """A session of a user of its own."""
    owner = Owner(tenant, f"user of {session}")
    return make_transcript(session, owner=owner, session=session, key=session)


def test_distill_stores_grounded_facts_and_wakes_the_consolidation() -> None:
    """What the transcript supports becomes pending facts of its user."""
    world = World()
    (transcript,) = world.accept(make_transcript("I live in Berlin."))

    outcome = world.flow.run(transcript.id)

    assert Done({"facts": 1, "refused": 0}) == outcome
    (fact,) = world.stores.pending_facts(ALICE, 10)
    assert ("I live in Berlin.", "scripted/1") == (fact.statement, fact.distilled_by)
    assert [ALICE] == world.waker.owners
    assert TranscriptState.DISTILLED is world.stores.status("acme", transcript.id).state


def test_distill_skips_what_is_done_or_held() -> None:
    """A doubled wake-up costs nothing."""
    world = World()
    (transcript,) = world.accept(make_transcript("I live in Berlin."))
    world.flow.run(transcript.id)

    assert Skipped is type(world.flow.run(transcript.id))
    assert 1 == len(world.distiller.shown)


def test_distill_never_shows_recalled_text_to_the_distiller() -> None:
    """What recall put into the prompt is no evidence, whoever quotes it."""
    block = fence(["User lives in Atlantis."], user_id="alice", at=START)
    world = World(
        lambda _: [
            Draft("User lives in Atlantis.", "User", Kind.PROFILE, "lives in Atlantis", ("m0",))
        ]
    )
    (transcript,) = world.accept(make_transcript(f"{block}\nI like tea."))

    world.flow.run(transcript.id)

    assert "Atlantis" not in world.distiller.shown[0][0].messages[0].content
    assert [] == world.stores.pending_facts(ALICE, 10)
    assert {"refused": 1} == world.stores.status("acme", transcript.id).counts


@pytest.mark.parametrize("error", [ModelUnavailable("429"), BadReply("no JSON")])
def test_distill_postpones_a_failed_attempt_then_buries_it(error: Exception) -> None:
    """Each failed attempt waits its delay; the last one is a dead letter with the reason."""
    world = World(fail_with(error))
    (transcript,) = world.accept(make_transcript("I live in Berlin."))

    outcomes = []
    for _ in range(3):
        outcomes.append(type(world.flow.run(transcript.id)))
        world.clock.advance(DELAY)

    assert [Snoozed, Snoozed, Done] == outcomes
    status = world.stores.status("acme", transcript.id)
    assert (TranscriptState.DEAD, type(error).__name__) == (status.state, status.reason)
    assert str(error) in str(status.last_error)


def test_distill_buries_a_transcript_that_keeps_killing_its_worker() -> None:
    """Attempts are counted before the work: three deaths are enough."""
    world = World()
    (transcript,) = world.accept(make_transcript("I live in Berlin."))
    for _ in range(3):
        assert world.stores.claim_transcript(transcript.id, world.clock.now(), LEASE)
        world.clock.advance(LEASE)

    assert Done({"dead": 1}) == world.flow.run(transcript.id)
    status = world.stores.status("acme", transcript.id)
    assert (TranscriptState.DEAD, "killed_its_worker") == (status.state, status.reason)
    assert [] == world.distiller.shown


def test_distill_takes_whoever_is_first_in_line_from_tenant_to_tenant() -> None:
    """A wake-up names no work: two tenants are served in turn, whoever woke."""
    world = World()
    world.accept(*(talk(f"a-{n}", "acme") for n in range(3)), talk("b-0", "beta"))

    for _ in range(5):
        world.flow.run_next(Lane.INTERACTIVE)

    names = [name for (name,) in world.shown_together()]
    assert {"a-0", "a-1", "a-2", "b-0"} == set(names)
    assert names.index("b-0") < 2


class Crowded(InMemoryStores):
    """Others take all that stands first in line, as often as they are told to."""

    rushes = 0

    def find_in_line(
        self, lane: Lane, after_tenant: str, now: datetime, limit: int, *, with_suspects: bool
    ) -> list[Place]:
        found = super().find_in_line(lane, after_tenant, now, limit, with_suspects=with_suspects)
        if self.rushes:
            self.rushes -= 1
            for place in found:
                self.claim_transcript(place.receipt, now, LEASE)
        return found


def test_distill_looks_again_where_others_were_quicker() -> None:
    """Its wake-up may be the last one: who is left would wait for the sweep."""
    world = World(stores=(stores := Crowded()))
    world.accept(*(talk(f"s{number}") for number in range(3 * AT_THE_HEAD)))

    stores.rushes = 2
    assert isinstance(world.flow.run_next(Lane.INTERACTIVE).outcome, Done)
    stores.rushes = 100
    assert isinstance(world.flow.run_next(Lane.INTERACTIVE).outcome, Skipped)

    assert 1 == len(world.shown_together())


@pytest.mark.parametrize("tenants", [("acme",), ("acme", "beta"), ("beta", "acme", "cargo")])
def test_distill_goes_on_until_nobody_stands_in_line(tenants: tuple[str, ...]) -> None:
    """Of whatever tenant they are: one wake-up is enough for all of them."""
    world = World()
    talks = [talk(f"{tenant}-{n}", tenant) for n in range(2 * AT_THE_HEAD) for tenant in tenants]
    world.accept(*talks)

    turns = 1
    while world.flow.run_next(Lane.INTERACTIVE).is_more:
        turns += 1

    assert ["distilled"] * len(talks) == world.states(*talks)
    # One look in vain where nobody could know that there is no tenant before the last one.
    assert len(talks) <= turns <= len(talks) + 1


def test_distill_does_not_look_again_behind_the_only_one() -> None:
    """A session that comes alone costs one look at the line."""
    world = World()

    for number in range(3):
        world.accept(talk(f"s{number}"))
        assert not world.flow.run_next(Lane.INTERACTIVE).is_more

    assert 3 == len(world.shown_together())


def test_distill_goes_on_behind_a_suspect_who_was_taken_before_the_line() -> None:
    """Whom a dead worker held comes first; those in line have nobody else to come for them."""
    world = World()
    first, second = world.accept(talk("s1"), talk("s2"))
    world.die_over(first)

    assert world.flow.run_next(Lane.INTERACTIVE).is_more
    world.flow.run_next(Lane.INTERACTIVE)

    assert ["distilled"] * 2 == world.states(first, second)


def test_distill_wakes_another_before_it_begins_where_somebody_has_nothing_to_do() -> None:
    """So all threads are busy a moment after a few were woken; nobody is woken for nothing."""
    idle = [True, True, False]
    world = World()
    world.flow = replace(world.flow, may_spread=lambda: idle.pop(0))
    world.accept(*(talk(f"s{number}") for number in range(4)))
    woken: list[int] = []
    world.distiller.script = lambda shown: (
        woken.append(len(world.waker.receipts)) or quote_everything(shown)  # type: ignore[func-returns-value]
    )

    for _ in range(4):
        world.flow.run_next(Lane.INTERACTIVE)

    assert [1, 2, 2, 2] == woken


def test_distill_works_on_one_suspect_at_a_time_and_on_others_beside_it() -> None:
    """Whom a dead worker held waits while another such one is worked on in this process."""
    world = World()
    first, second, third = world.accept(talk("s1"), talk("s2"), talk("s3"))
    world.die_over(first, second)

    def meanwhile(shown: Transcript) -> list[Draft]:
        world.distiller.script = quote_everything
        world.flow.run_next(Lane.INTERACTIVE)
        world.flow.run_next(Lane.INTERACTIVE)
        return quote_everything(shown)

    world.distiller.script = meanwhile
    world.flow.run_next(Lane.INTERACTIVE)

    assert [["s3"]] == world.shown_together()[1:]
    world.flow.run_next(Lane.INTERACTIVE)
    assert ["distilled"] * 3 == world.states(first, second, third)


def test_distill_keeps_a_result_until_the_store_is_back() -> None:
    """A store that goes away for a moment costs no attempt and no second call."""

    answers = iter([StoreUnavailable("going down"), StoreUnavailable("still down")])

    class Blinking(InMemoryStores):
        def commit_distilled(
            self,
            claim: TranscriptClaim,
            facts: Sequence[Fact],
            refusals: Sequence[Refusal],
            now: datetime,
        ) -> None:
            for answer in answers:
                raise answer
            super().commit_distilled(claim, facts, refusals, now)

    world = World(stores=Blinking())
    world.flow = replace(world.flow, patience=timedelta(seconds=20))
    (transcript,) = world.accept(talk("s1"))

    assert Done({"facts": 1, "refused": 0}) == world.flow.run(transcript.id)
    assert (1, "distilled") == (
        world.status(transcript).attempts,
        world.status(transcript).state.value,
    )


def test_distill_writes_nothing_when_its_lease_was_lost_meanwhile() -> None:
    """A worker that slept through its lease is refused by the fence."""
    world = World()
    (transcript,) = world.accept(make_transcript("I live in Berlin."))

    def slow(shown: Transcript) -> list[Draft]:
        world.clock.advance(LEASE)
        assert world.stores.claim_transcript(shown.id, world.clock.now(), LEASE)
        return quote_everything(shown)

    world.distiller.script = slow

    assert Skipped is type(world.flow.run(transcript.id))
    assert [] == world.stores.pending_facts(ALICE, 10)


def test_distill_parks_a_transcript_when_the_budget_has_no_room() -> None:
    """What costs more than is left waits, and no attempt is counted."""
    resume_at = START + timedelta(hours=1)
    error = BudgetExceeded("used up", resume_at=resume_at, is_tenants=True)
    world = World(fail_with(error))
    (transcript,) = world.accept(make_transcript("I live in Berlin."))

    assert Snoozed(timedelta(hours=1), "used up") == world.flow.run(transcript.id)
    status = world.stores.status("acme", transcript.id)
    assert (TranscriptState.PARKED, 0, resume_at) == (status.state, status.attempts, status.due_at)


def test_distill_keeps_what_was_said_beside_the_facts_when_it_is_told_to() -> None:
    """A sentence that no fact quotes becomes a fact, beside what a selective distiller found."""
    said = ("I adopted a greyhound.", "My sister opened a bakery in Leeds.")

    def quote_first(transcript: Transcript) -> list[Draft]:
        return quote_everything(transcript)[:1]

    for policy, is_selective, expected in (
        (VerbatimPolicy(), True, ["scripted/1", VERBATIM]),
        (VerbatimPolicy(), False, ["scripted/1"]),
        (None, True, ["scripted/1"]),
    ):
        world = World(quote_first)
        world.distiller.is_selective = is_selective
        (transcript,) = world.accept(make_transcript(*said))

        replace(world.flow, verbatim=policy).run(transcript.id)

        facts = world.stores.pending_facts(ALICE, 10)
        assert expected == [fact.distilled_by for fact in facts]
        assert said[: len(facts)] == tuple(fact.evidence[0].quote for fact in facts)


def test_distill_refuses_what_only_a_tool_said() -> None:
    """Tool text is never evidence about the user."""
    world = World()
    (transcript,) = world.accept(make_transcript("The user is an admin.", role=Role.TOOL))

    world.flow.run(transcript.id)

    status = world.stores.status("acme", transcript.id)
    assert (TranscriptState.DONE, {"refused": 1}) == (status.state, status.counts)
    assert ["tool_text"] == [fact.reason for fact in status.facts]
