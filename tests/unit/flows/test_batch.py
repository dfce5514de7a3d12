"""Backfill in batches: asked for once, paid once at the price of batches, or distilled live."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from config.operation import BatchPolicy
from config.policy import DistillPolicy
from pipelines.errors import ModelRefused, ModelUnavailable, NoBatches, StoreRefused
from pipelines.model import Lane
from pipelines.ports import BatchOutcome, BatchState, ChatReply
from pipelines.stages.cost import Usage
from tests.builders import ALICE, BOB, PROMPT, make_transcript
from tests.unit.flows.batching import (
    BATCHED_PRICE,
    LEASE,
    LIVE,
    WAIT,
    WINDOW,
    World,
    hard,
    old,
)

if TYPE_CHECKING:
    from pipelines.ports import BatchItem

TWO = (old("I like tea.", 1), old("I like jazz.", 1, BOB))
SILENCE = ModelUnavailable("no answer")
BUDGET = 5_000


def test_batch_pays_for_backfill_when_it_is_answered() -> None:
    """No live call is made: the replies are there, at the price of batches."""
    world = World()
    receipts = world.accept(*TWO)
    world.flow.run()
    assert {"batched": 2} == world.states(receipts)
    world.distill_due()

    world.endpoint.end()
    world.next_run()
    assert receipts == sorted(world.waker.backfill, key=receipts.index)
    world.distill_due()

    assert {"distilled": 2} == world.states(receipts)
    assert [] == world.chat.requests
    assert [2, 2 * BATCHED_PRICE] == world.booked()
    (report,) = world.batches.report("acme", 10)
    assert (BatchState.ENDED, BatchOutcome.COMPLETED) == (report.state, report.outcome)
    assert (2, 2, 0) == (report.requests, report.answered, report.failed)


def test_batch_waits_visibly_when_it_is_handed_in() -> None:
    """A status says what for and how long at most."""
    world = World()
    receipt, _ = world.accept(*TWO)
    world.flow.run()

    status = world.status(receipt)
    assert ("batched", 0) == (status.reason, status.attempts)
    assert world.clock.now() + WINDOW + timedelta(hours=1) == status.due_at


def test_sessions_of_a_user_share_a_request_when_they_are_short() -> None:
    """The request that distilling puts together from its reply is the same one."""
    world = World()
    sessions = [old(f"I like {what}.", number) for number, what in enumerate(("tea", "jazz"))]
    receipts = world.accept(*sessions[::-1], old("I like rain.", 1, BOB))
    world.flow.run()
    assert [["I like tea.", "I like jazz."], ["I like rain."]] == sorted(
        world.sessions_handed_in(), key=len, reverse=True
    )

    world.endpoint.end()
    world.next_run()
    world.distill_due()
    assert {"distilled": 3} == world.states(receipts)
    assert [] == world.chat.requests


def test_long_session_is_asked_for_window_by_window() -> None:
    """All of its windows are in the batch, and none of them is asked for live."""
    world = World(distill=DistillPolicy(window_chars=400, overlap_messages=1))
    lines = [f"I have been to the {number}th town by the sea." for number in range(20)]
    made = make_transcript(*lines, session="long")
    (receipt,) = world.accept(replace(made, lane=Lane.BACKFILL))
    world.flow.run()
    assert 3 < len(world.endpoint.requests)

    world.endpoint.end()
    world.next_run()
    world.distill_due()
    assert 20 == world.status(receipt).counts["pending"]
    assert [] == world.chat.requests


def test_interactive_sessions_are_in_no_batch() -> None:
    """They are due at once, and nothing is gathered."""
    world = World()
    receipts = world.accept(*(replace(item, lane=Lane.INTERACTIVE) for item in TWO))
    world.flow.run()
    assert [] == world.endpoint.created
    world.distill_due()
    assert {"distilled": 2} == world.states(receipts)


def test_few_sessions_go_the_live_road_when_no_batch_comes_together() -> None:
    """They wait for company for an hour, and not longer."""
    world = World()
    (receipt,) = world.accept(TWO[0])
    world.next_run()
    assert [] == world.endpoint.created
    assert world.stores.find_due(world.clock.now(), 10).backfill == ()

    world.clock.advance(WAIT)
    world.distill_due()
    assert {"distilled": 1} == world.states([receipt])
    assert [1, LIVE] == world.booked()


def test_what_was_paid_before_is_not_asked_for_again() -> None:
    """Its reply was stored by a worker that died: it goes the live road, and pays nothing."""
    world = World()
    paid, other, third = old("I like tea.", 1), *TWO[1:], old("I like rain.", 2, ALICE)
    (request,) = world.distiller.list_requests([paid])
    hold = world.ledger.reserve("scripted", 10, request.paid_for)
    world.replies.keep_reply(
        request.request_hash, world.chat.complete(request.request), request.paid_for, hold
    )
    receipts = world.accept(paid, other, third)

    world.flow.run()
    world.distill_due()

    assert {"distilled": 1, "batched": 2} == world.states(receipts)
    assert [["I like rain."], ["I like jazz."]] == world.sessions_handed_in()
    assert 1 == len(world.chat.requests)


def test_bounded_batches_take_a_backlog_apart() -> None:
    """One run hands in several of them, each of bounded size."""
    world = World(policy=BatchPolicy(min_requests=1, max_transcripts=4, wait=WAIT))
    users = [replace(ALICE, user_id=f"user-{number}") for number in range(10)]
    world.accept(*(old("I like tea.", owner=user) for user in users))
    world.flow.run()
    assert [2, 4, 4] == sorted(it.requests for it in world.batches.report("acme", 10))


def test_nothing_is_gathered_while_another_process_gathers() -> None:
    """Answers are collected all the same."""
    world = World()
    world.accept(*TWO)
    world.flow.run()
    world.endpoint.end()
    late = world.accept(old("I like rain.", 5), old("I like snow.", 5, BOB))
    with world.batches.gathering():
        world.next_run()
    assert {"queued": 2} == world.states(late)
    assert BatchState.ENDED is world.batches.report("acme", 1)[0].state
    world.next_run()
    assert {"batched": 2} == world.states(late)


# ---- crashes and faults -----------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["upload", "upload+", "create", "create+"])
def test_batch_is_created_once_when_the_provider_does_not_answer(fault: str) -> None:
    """Whether it was done before the connection broke off is found out, not guessed."""
    world = World()
    receipts = world.accept(*TWO)
    world.endpoint.faults[fault] = [SILENCE]
    world.flow.run()
    world.next_run()
    world.next_run()
    assert 1 == len(world.endpoint.created)

    world.endpoint.end()
    world.next_run()
    world.distill_due()
    assert {"distilled": 2} == world.states(receipts)
    assert [] == world.chat.requests
    assert [2, 2 * BATCHED_PRICE] == world.booked()


@pytest.mark.parametrize("fault", ["upload", "upload+", "create", "create+"])
def test_batch_is_created_once_when_the_worker_dies_over_it(fault: str) -> None:
    """Another one takes it over when its lease has run out, and looks before it creates."""
    world = World()
    world.accept(*TWO)
    world.endpoint.faults[fault] = [KeyboardInterrupt()]
    with pytest.raises(KeyboardInterrupt):
        world.flow.run()

    world.next_run()
    assert (fault == "create+") == bool(world.endpoint.created)
    world.next_run(LEASE)
    world.next_run()
    assert 1 == len(world.endpoint.created)
    assert 2 == len(world.endpoint.requests)


def test_twin_is_cancelled_when_two_were_created() -> None:
    """A worker that was thought dead had created one too: only one is waited for."""
    world = World()
    world.accept(*TWO)
    world.endpoint.faults["create+"] = [SILENCE]
    world.flow.run()
    found = world.endpoint.find_created
    (first,) = world.endpoint.created
    (batch,) = world.batches.report("acme", 1)
    twin = world.endpoint.create(batch.id, "file-1")
    assert [first, twin] == found(batch.id, world.clock.now())

    world.next_run()
    (batch,) = world.batches.report("acme", 1)
    assert (first, BatchOutcome.CANCELLED) == (
        batch.provider_id,
        world.endpoint.look(twin).outcome,
    )


def test_answers_are_booked_once_when_reading_breaks_off() -> None:
    """What was stored before it did is not booked again."""
    world = World()
    receipts = world.accept(*TWO)
    world.flow.run()
    world.endpoint.end()
    world.endpoint.faults["read"] = [None, SILENCE]
    world.next_run()
    assert 1 == len(world.replies.replies)

    world.next_run()
    world.distill_due()
    assert {"distilled": 2} == world.states(receipts)
    assert [2, 2 * BATCHED_PRICE] == world.booked()
    assert [] == world.chat.requests


def test_provider_is_asked_to_forget_what_was_collected() -> None:
    """Requests and answers hold what users said."""
    world = World()
    world.accept(*TWO)
    world.flow.run()
    world.endpoint.end()
    world.next_run()
    assert ["batch-1", "file-1"] == world.endpoint.forgotten


def test_changed_sessions_are_not_handed_in_late() -> None:
    """After a crash only what would be asked for now is handed in; the others go live."""
    world = World()
    receipts = world.accept(*TWO)
    world.endpoint.faults["upload"] = [SILENCE]
    world.flow.run()
    world.distiller._prompt = replace(PROMPT, text=f"{PROMPT.text} Be brief.")
    world.next_run()

    assert [] == world.endpoint.created
    world.distill_due()
    assert {"distilled": 2} == world.states(receipts)
    assert 2 == len(world.chat.requests)


def test_batch_is_given_up_when_it_cannot_be_handed_in_for_long() -> None:
    """Its sessions need not wait a day for a provider that says nothing for an hour."""
    world = World()
    receipts = world.accept(*TWO)
    world.endpoint.faults |= {"upload": [SILENCE], "find_created": [SILENCE] * 100}
    world.flow.run()
    world.next_run()
    assert "no answer" == world.batches.report("acme", 1)[0].last_error
    assert {"batched": 2} == world.states(receipts)

    world.next_run(WAIT)
    assert BatchOutcome.ABANDONED is world.batches.report("acme", 1)[0].outcome
    world.distill_due()
    assert {"distilled": 2} == world.states(receipts)


# ---- the live road ----------------------------------------------------------------------------


def test_unanswered_sessions_go_the_live_road_when_a_batch_expires() -> None:
    """What was answered until then is kept and paid; nothing is set aside for the others."""
    world = World(budget=hard(1_000_000))
    receipts = world.accept(*TWO)
    world.flow.run()
    world.answers["jazz"] = None
    world.endpoint.end(BatchOutcome.EXPIRED)
    world.next_run()
    assert {} == world.ledger.holds
    world.distill_due()

    assert {"distilled": 2} == world.states(receipts)
    assert [["I like jazz."]] == [
        [line for line in ("I like tea.", "I like jazz.") if line in request.user]
        for request in world.chat.requests
    ]
    assert [2, BATCHED_PRICE + LIVE] == world.booked()
    (report,) = world.batches.report("acme", 1)
    assert (BatchOutcome.EXPIRED, 1, 1) == (report.outcome, report.answered, report.failed)


@pytest.mark.parametrize("outcome", [BatchOutcome.FAILED, BatchOutcome.CANCELLED])
def test_all_sessions_go_the_live_road_when_a_batch_fails(outcome: BatchOutcome) -> None:
    """Without an answer nothing is paid for the batch."""
    world = World(budget=hard(1_000_000))
    receipts = world.accept(*TWO)
    world.flow.run()
    world.endpoint.end(outcome)
    world.next_run()
    world.distill_due()

    assert {"distilled": 2} == world.states(receipts)
    assert ([2, 2 * LIVE], {}) == (world.booked(), world.ledger.holds)
    world.next_run()
    assert 1 == len(world.endpoint.created)


def test_unusable_answer_is_paid_and_asked_for_live() -> None:
    """It was cut off: its tokens are on the bill."""
    world = World()
    receipts = world.accept(*TWO)
    world.flow.run()
    world.answers["tea"] = Usage(11, 7)
    world.endpoint.end()
    world.next_run()
    world.distill_due()
    assert {"distilled": 2} == world.states(receipts)
    assert [3, 2 * BATCHED_PRICE + LIVE] == world.booked()


def test_answer_that_cannot_be_stored_does_not_hold_up_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its session goes the live road."""
    world = World()
    receipts = world.accept(*TWO)
    world.flow.run()
    settle = world.batches.settle

    def settle_picky(batch: object, answer: object) -> bool:
        if getattr(answer, "reply", None) and "jazz" in answer.reply.text:  # type: ignore[attr-defined]
            raise StoreRefused("PostgreSQL: DataError")
        return settle(batch, answer)  # type: ignore[arg-type]

    monkeypatch.setattr(world.batches, "settle", settle_picky)
    world.endpoint.end()
    world.next_run()
    world.distill_due()
    assert {"distilled": 2} == world.states(receipts)
    assert 1 == len(world.chat.requests)


def test_batch_is_cancelled_and_sessions_distilled_live_when_time_is_up() -> None:
    """Nobody waits longer than a day and an hour."""
    world = World()
    receipts = world.accept(*TWO)
    world.flow.run()
    world.next_run(WINDOW)
    assert {"batched": 2} == world.states(receipts)
    world.next_run(timedelta(hours=1))
    world.distill_due()
    assert {"distilled": 2} == world.states(receipts)
    world.next_run()
    assert BatchOutcome.CANCELLED is world.batches.report("acme", 1)[0].outcome


def test_late_answer_is_booked_although_a_live_call_was_faster() -> None:
    """Both were paid; the reply that the facts came from stays."""
    world = World()
    world.accept(*TWO)
    world.flow.run()
    world.clock.advance(WINDOW + timedelta(hours=1))
    world.distill_due()
    kept = dict(world.replies.replies)
    world.answers["tea"] = ChatReply("late", "scripted", 11, 7)
    world.endpoint.end()
    world.next_run(timedelta(0))
    assert [4, 2 * LIVE + 2 * BATCHED_PRICE] == world.booked()
    assert kept == world.replies.replies


def test_batch_is_given_up_when_the_provider_says_nothing_for_two_days() -> None:
    """Nothing stays set aside for ever."""
    world = World(budget=hard(1_000_000))
    world.accept(*TWO)
    world.flow.run()
    world.endpoint.faults["look"] = [ModelRefused("401", status=401)] * 9
    world.next_run(2 * WINDOW)
    assert BatchState.RUNNING is world.batches.report("acme", 1)[0].state
    world.next_run(2 * WINDOW)
    assert BatchOutcome.ABANDONED is world.batches.report("acme", 1)[0].outcome
    assert ({}, ["file-1"]) == (world.ledger.holds, world.endpoint.forgotten)


@pytest.mark.parametrize("step", ["upload", "create"])
def test_process_does_without_batches_when_the_endpoint_has_none(step: str) -> None:
    """It says so once, and all backfill goes the live road at once."""
    world = World()
    first = world.accept(*TWO)
    world.endpoint.faults[step] = [NoBatches("no Batch API", status=404)]
    with capture_logs() as logs:
        world.flow.run()
        later = world.accept(old("I like rain.", 5), old("I like snow.", 5, BOB))
        world.next_run()
    world.distill_due()

    assert {"distilled": 4} == world.states([*first, *later])
    assert [] == world.endpoint.created
    assert ["batches_refused"] == [it["event"] for it in logs if it["log_level"] == "warning"]
    assert set(first + later) == set(world.waker.backfill)
    assert (["file-1"] if step == "create" else []) == world.endpoint.forgotten


# ---- budgets ----------------------------------------------------------------------------------


def test_what_has_no_room_in_a_budget_is_parked_and_batched_when_there_is() -> None:
    """At the next UTC day it is gathered again; it does not go the dearer live road."""
    world = World(budget=hard(BUDGET))
    for session in TWO:
        (request,) = world.distiller.list_requests([session])
        hold = world.ledger.reserve("scripted", 10, request.paid_for)
        world.ledger.book_lost(hold, Usage(BUDGET - 10), request.paid_for)
    receipts = world.accept(*TWO)
    world.flow.run()
    assert {"parked": 2} == world.states(receipts)
    assert "no room in the user's budget" in str(world.status(receipts[0]).reason)
    world.next_run()
    assert [] == world.endpoint.created

    world.next_run(timedelta(hours=15))
    assert {"batched": 2} == world.states(receipts)
    assert 1 == len(world.endpoint.created)


def test_money_is_set_aside_for_as_long_as_a_batch_may_take() -> None:
    """A live call on the same account has only what is left."""
    world = World(budget=hard(1_000_000))
    world.accept(*TWO)
    world.flow.run()
    until = {expires_at for _, _, expires_at in world.ledger.holds.values()}
    assert {world.clock.now() + WINDOW + timedelta(hours=1)} == until
    assert all(hold.is_batch for _, hold, _ in world.ledger.holds.values())


def test_nothing_is_set_aside_for_what_a_worker_took_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A session that is distilled live at this moment is left out, with all of its request."""
    world = World(budget=hard(1_000_000))
    sessions = [old("I like tea.", 1), old("I like jazz.", 2), *TWO[1:]]
    receipts = world.accept(*sessions)
    world.clock.advance(WAIT)
    open_batch = world.batches.open_batch

    def open_too_late(*args: Any) -> list[BatchItem]:  # noqa: ANN401 - as they come
        assert world.stores.claim_transcript(receipts[0], world.clock.now(), LEASE)
        return open_batch(*args)

    monkeypatch.setattr(world.batches, "open_batch", open_too_late)
    world.flow.run()
    assert {"distilling": 1, "queued": 1, "batched": 1} == world.states(receipts)
    assert [["I like jazz."]] == world.sessions_handed_in()
    assert [BOB] == [owner for owner, _, _ in world.ledger.holds.values()]
