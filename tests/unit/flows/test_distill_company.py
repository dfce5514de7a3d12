"""Distilling several transcripts of one user in one call."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pipelines.errors import (
    BadReply,
    BudgetExceeded,
    MemstillError,
    ModelRefused,
    ModelUnavailable,
    StoreRefused,
)
from pipelines.model import Draft, Kind
from pipelines.outcome import Done, Skipped, Snoozed
from pipelines.testing.stores import InMemoryStores
from tests.builders import ALICE, BOB, START, day, make_transcript
from tests.unit.flows.distilling import DELAY, LEASE, World, fail_with, quote_everything

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.model import Fact, Refusal, Transcript
    from pipelines.ports import TranscriptClaim


def said(text: str, number: int) -> Transcript:
    """A session of Alice on its day of the story."""
    return make_transcript(text, session=f"s{number}", at=day(number))


def three() -> tuple[Transcript, Transcript, Transcript]:
    """Sessions of one user, the first the oldest."""
    return said("I live in Rome.", 1), said("I have a dog.", 2), said("I like tea.", 3)


def test_distill_takes_along_what_else_of_the_user_is_due() -> None:
    """One call, in event order; each transcript gets its own facts."""
    world = World(max_company=7)
    first, second, third = world.accept(*three())

    assert Done({"facts": 1, "refused": 0}) == world.flow.run(second.id)

    assert [["s1", "s2", "s3"]] == world.shown_together()
    facts = world.stores.pending_facts(ALICE, 10)
    assert [item.id for item in (first, second, third)] == [it.transcript_id for it in facts]
    assert [1, 1, 1] == [world.status(item).attempts for item in (first, second, third)]
    assert [ALICE] == world.waker.owners


def test_distill_takes_nobody_along_of_another_user_or_not_yet_due() -> None:
    """Different users never meet in a call, and a delay is a delay."""
    world = World(max_company=7)
    first, second, _ = three()
    world.accept(first, second, make_transcript("I like tea.", owner=BOB))
    claim = world.stores.claim_transcript(second.id, START, LEASE)
    assert claim is not None
    world.stores.postpone(claim, START + DELAY, "later")

    world.flow.run(first.id)

    assert [["s1"]] == world.shown_together()


def test_distill_takes_nobody_along_that_another_worker_holds() -> None:
    """A lease is a lease."""
    world = World(max_company=7)
    first, second, third = world.accept(*three())
    world.stores.claim_transcript(second.id, START, LEASE)

    world.flow.run(first.id)

    assert [["s1", "s3"]] == world.shown_together()
    assert ["distilled", "distilling", "distilled"] == world.states(first, second, third)


def test_distill_waits_for_nobody_when_sessions_arrive_one_by_one() -> None:
    """Company is what is there already."""
    world = World(max_company=7)
    for item in three():
        world.accept(item)
        assert Done is type(world.flow.run(item.id))
    assert [["s1"], ["s2"], ["s3"]] == world.shown_together()


@pytest.mark.parametrize("error", [BadReply("no JSON"), ModelRefused("content filter")])
def test_distill_asks_for_each_alone_when_the_shared_call_fails(error: MemstillError) -> None:
    """One poisonous transcript does not take the others down, nor use up their attempts."""
    world = World(fail_with(error, on="dog"), max_company=7)
    first, second, third = world.accept(*three())

    assert Done({"facts": 1, "refused": 0}) == world.flow.run(first.id)

    assert [["s1", "s2", "s3"], ["s1"], ["s2"], ["s3"]] == world.shown_together()
    assert ["distilled", "queued", "distilled"] == world.states(first, second, third)
    assert [1, 1, 1] == [world.status(item).attempts for item in (first, second, third)]


def test_distill_goes_alone_after_its_own_call_failed() -> None:
    """Who made a call fail makes no other one fail."""
    world = World(fail_with(BadReply("no JSON"), on="dog"), max_company=7)
    _, second, third = three()
    world.accept(second)
    world.flow.run(second.id)
    world.clock.advance(DELAY)
    world.accept(third)

    assert Done is type(world.flow.run(third.id))
    assert Snoozed is type(world.flow.run(second.id))
    assert [["s2"], ["s3"], ["s2"]] == world.shown_together()


def test_distill_stays_together_when_the_model_was_unavailable_once() -> None:
    """An outage is nobody's fault: afterwards one call does for all, once more."""
    world = World(fail_with(ModelUnavailable("429")), max_company=7)
    first, second, third = world.accept(*three())

    for _ in range(2):
        assert Snoozed(DELAY, "ModelUnavailable: 429") == world.flow.run(second.id)
        world.clock.advance(DELAY)
    world.distiller.script = quote_everything
    assert Done is type(world.flow.run(second.id))

    assert [["s1", "s2", "s3"]] * 2 + [["s2"]] == world.shown_together()
    assert ["queued", "distilled", "queued"] == world.states(first, second, third)


def test_distill_waits_together_when_attempts_differ() -> None:
    """The longest delay is everyone's, so that they come back together."""
    world = World(fail_with(ModelUnavailable("429")), max_company=7, delays=(DELAY, 4 * DELAY))
    first, second, _ = three()
    world.accept(first)
    world.flow.run(first.id)
    world.clock.advance(DELAY)
    world.accept(second)

    world.flow.run(second.id)

    due_at = world.clock.now() + 4 * DELAY
    assert [due_at, due_at] == [world.status(item).due_at for item in (first, second)]


def test_distill_asks_for_each_alone_when_the_budget_has_no_room_for_all() -> None:
    """A budget that is too small for the shared call is used as far as it goes."""
    calls = iter(["no room for three", "room for one", "no room", "no room"])

    def script(shown: Transcript) -> list[Draft]:
        if next(calls) != "room for one":
            raise BudgetExceeded("used up", resume_at=day(9), is_tenants=False)
        return quote_everything(shown)

    world = World(script, max_company=7)
    first, second, third = world.accept(*three())

    assert Done is type(world.flow.run(first.id))

    assert ["distilled", "parked", "parked"] == world.states(first, second, third)
    assert [day(9)] * 2 == [world.status(item).due_at for item in (second, third)]
    assert [1, 0, 0] == [world.status(item).attempts for item in (first, second, third)]


def test_distill_commits_the_others_when_one_lease_was_lost_meanwhile() -> None:
    """Each transcript is committed under its own fence."""
    world = World(max_company=7)
    first, second, third = world.accept(*three())

    def slow(shown: Transcript) -> list[Draft]:
        if shown.id == second.id:
            world.clock.advance(LEASE)
            assert world.stores.claim_transcript(second.id, world.clock.now(), LEASE)
        return quote_everything(shown)

    world.distiller.script = slow

    assert Done is type(world.flow.run(first.id))
    assert ["distilled", "distilling", "distilled"] == world.states(first, second, third)


def test_distill_says_that_its_lease_was_lost_when_only_company_is_left() -> None:
    """The outcome is that of the transcript it was woken for."""
    world = World(max_company=7)
    first, second, _ = three()
    world.accept(first, second)

    def slow(shown: Transcript) -> list[Draft]:
        if shown.id == first.id:
            world.clock.advance(LEASE)
            assert world.stores.claim_transcript(first.id, world.clock.now(), LEASE)
        return quote_everything(shown)

    world.distiller.script = slow

    assert Skipped is type(world.flow.run(first.id))
    assert ["distilling", "distilled"] == world.states(first, second)


def test_distill_holds_the_whole_group_while_each_is_asked_for_alone() -> None:
    """Nobody takes away the last one while the first ones are worked on."""
    world = World(max_company=7)
    transcripts = world.accept(*three())

    def slow(shown: Transcript) -> list[Draft]:
        if len(world.distiller.shown) == 1:
            raise BadReply("no JSON")
        world.clock.advance(LEASE - timedelta(seconds=1))
        return quote_everything(shown)

    world.distiller.script = slow
    world.flow.run(transcripts[0].id)

    assert ["distilled"] * 3 == world.states(*transcripts)
    assert [1, 1, 1] == [world.status(item).attempts for item in transcripts]


def test_distill_grounds_each_fact_against_its_own_transcript_alone() -> None:
    """What another session says supports nothing, also if it was read in the same call."""

    def mixed_up(shown: Transcript) -> list[Draft]:
        quote = "I have a dog."
        return [Draft(quote, "User", Kind.KNOWLEDGE, quote, (shown.messages[0].id,))]

    world = World(mixed_up, max_company=7)
    first, second, third = world.accept(*three())

    world.flow.run(first.id)

    assert ["done", "distilled", "done"] == world.states(first, second, third)
    assert ["quote_not_found"] == [fact.reason for fact in world.status(first).facts]


class PickyStores(InMemoryStores):
    """Cannot hold what the second session says."""

    def commit_distilled(
        self,
        claim: TranscriptClaim,
        facts: Sequence[Fact],
        refusals: Sequence[Refusal],
        now: datetime,
    ) -> None:
        if claim.transcript.session_id == "s2":
            raise StoreRefused("no such value")
        super().commit_distilled(claim, facts, refusals, now)


def test_distill_gives_back_only_what_the_store_refuses() -> None:
    """Values that cannot be stored hold up their own transcript, no other."""
    world = World(max_company=7, stores=PickyStores())
    transcripts = world.accept(*three())

    world.flow.run(transcripts[0].id)

    assert ["distilled", "queued", "distilled"] == world.states(*transcripts)


@dataclass
class WatchedStores(InMemoryStores):
    """Notes, after each commit, before which session end facts may be consolidated."""

    barriers: list[datetime | None] = field(default_factory=list)

    def commit_distilled(
        self,
        claim: TranscriptClaim,
        facts: Sequence[Fact],
        refusals: Sequence[Refusal],
        now: datetime,
    ) -> None:
        super().commit_distilled(claim, facts, refusals, now)
        self.barriers.append(self.earliest_undistilled(ALICE, START - DELAY))


def test_distill_holds_newer_sessions_back_until_the_older_ones_are_committed() -> None:
    """Whatever is committed first: what is still distilling bars the facts that come after it."""
    stores = WatchedStores()
    world = World(max_company=7, stores=stores)
    transcripts = world.accept(*three())

    world.flow.run(transcripts[2].id)

    assert [day(1), day(2), None] == stores.barriers


# ---- after a worker died -----------------------------------------------------------------------


def test_distill_reads_a_paid_request_again_with_the_same_company() -> None:
    """A reply that was paid for three is found again, whoever else waits meanwhile."""
    world = World(max_company=7)
    first, second, third = world.accept(*three())
    world.pay(first, second, third)
    world.die_over(first, second, third)
    (late,) = world.accept(said("I like jazz.", 0))

    world.flow.run(third.id)

    assert [["s1", "s2", "s3"]] == world.shown_together()
    assert ["distilled"] * 3 == world.states(first, second, third)
    assert ["queued"] == world.states(late)


def test_distill_reads_a_paid_request_again_when_part_of_it_is_done() -> None:
    """The request is put together from all texts; only what is still due is written."""
    world = World()
    first, second, third = world.accept(*three())
    world.flow.run(first.id)
    world.pay(first, second, third)
    world.die_over(second, third)

    world.flow.run(second.id)

    assert [["s1"], ["s1", "s2", "s3"]] == world.shown_together()
    assert ["distilled"] * 3 == world.states(first, second, third)
    assert [1, 2, 2] == [world.status(item).attempts for item in (first, second, third)]


def test_distill_goes_alone_when_a_text_of_the_paid_request_is_gone() -> None:
    """What cannot be put together again is not waited for."""
    world = World(max_company=7)
    first, second, never_accepted = three()
    world.accept(first, second)
    world.pay(first, second, never_accepted)
    world.die_over(first)

    world.flow.run(first.id)

    assert [["s1"]] == world.shown_together()


def test_distill_goes_alone_when_its_worker_died_over_it() -> None:
    """Whoever ends workers takes nobody along, and is taken along by nobody."""
    world = World(max_company=7)
    first, second, third = world.accept(*three())
    world.die_over(second)

    world.flow.run(second.id)
    world.die_over(first)
    world.flow.run(third.id)

    assert [["s2"], ["s3"]] == world.shown_together()


def test_distill_spares_the_others_when_a_paid_request_keeps_ending_workers() -> None:
    """From the third attempt on each of the group goes by itself, on the reply that is paid."""
    world = World()
    first, second, third = world.accept(*three())
    world.pay(first, second, third)
    world.die_over(first, second, third)
    world.die_over(first, second, third)

    world.flow.run(first.id)

    assert [["s1", "s2", "s3"]] == world.shown_together()
    assert ["distilled", "distilling", "distilling"] == world.states(first, second, third)
    assert [3, 2, 2] == [world.status(item).attempts for item in (first, second, third)]


def test_distill_buries_company_that_has_no_attempts_left() -> None:
    """Attempts are counted for each transcript, in whatever company it is."""
    world = World()
    first, second, third = world.accept(*three())
    world.pay(first, second, third)
    for _ in range(3):
        world.die_over(second)

    world.flow.run(first.id)

    assert ["distilled", "dead", "distilled"] == world.states(first, second, third)
    assert "killed_its_worker" == world.status(second).reason
