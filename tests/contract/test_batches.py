"""``BatchStore``: who waits, what is handed in, and each answer booked once."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from config.spending import Budget, BudgetPolicy, Budgets, Limit, Price
from pipelines.adapters.postgres import (
    Database,
    PostgresBatches,
    PostgresInbox,
    PostgresLedger,
    PostgresReplies,
)
from pipelines.errors import BudgetExceeded, LeaseLost
from pipelines.model import Lane, Owner, TranscriptState
from pipelines.ports import (
    Batch,
    BatchAnswer,
    BatchId,
    BatchItem,
    BatchOutcome,
    BatchState,
    ChatReply,
    PaidFor,
    Purpose,
)
from pipelines.stages.cost import Spent, Usage
from pipelines.testing.batches import InMemoryBatches
from pipelines.testing.ledger import InMemoryLedger
from pipelines.testing.models import InMemoryReplies
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock
from tests.builders import ALICE, BOB, START, make_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipelines.model import ReceiptId
    from pipelines.ports import BatchStore, Inbox, Ledger, ReplyStore

WAIT, LEASE, DAY = timedelta(hours=1), timedelta(minutes=5), timedelta(days=1)
ELSEWHERE = Owner("other", "alice")
MANY = 100_000_000
# 50 tokens of request and as many for the answer are set aside for each call.
BYTES, ESTIMATE = 125, 100
REPLY = ChatReply("{}", "small", 60, 21)
REPLY_MICROS = 51
RULES = BudgetPolicy(
    prices={"small": Price(Decimal(1), Decimal(2))},
    default=Budgets(user_day=Budget(hard=Limit(tokens=250))),
    completion_allowance=50,
)


@dataclass
class World:
    """A store of batches with what it works on."""

    batches: BatchStore
    inbox: Inbox
    replies: ReplyStore
    ledger: Ledger
    clock: ManualClock

    def accept(
        self, session: str, owner: Owner = ALICE, lane: Lane = Lane.BACKFILL, text: str = "Tea."
    ) -> ReceiptId:
        made = replace(make_transcript(text, owner=owner, session=session), lane=lane)
        self.inbox.accept([made], self.clock.now())
        return made.id

    def waiting(self, *, after: timedelta = WAIT, limit: int = 10) -> list[ReceiptId]:
        found = self.batches.find_waiting(self.clock.now() + after, limit, MANY)
        return [item.id for item in found]

    def item(self, *receipts: ReceiptId, owner: Owner = ALICE) -> BatchItem:
        """One request for these, with what it may cost set aside."""
        paid_for = PaidFor(owner, Purpose.DISTILL, receipts)
        hold = self.ledger.reserve("small", BYTES, paid_for, is_batch=True)
        return BatchItem(f"hash-{receipts[0]}", paid_for, hold)

    def open(self, *items: BatchItem) -> Batch:
        now = self.clock.now()
        batch = Batch(BatchId(uuid.uuid4()), "small", now, now + DAY)
        assert list(items) == self.batches.open_batch(batch, items, now, LEASE)
        return batch

    def status(self, receipt: ReceiptId) -> tuple[str, str | None, datetime | None]:
        found = self.inbox.status("acme", receipt)
        return (found.state.value, found.reason, found.due_at)

    def spent(self, owner: Owner = ALICE) -> Spent:
        return self.ledger.spent_on(*owner.names, START.date())


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    clock = ManualClock(START)
    if request.param == "memory":
        stores = InMemoryStores(backfill_wait=WAIT)
        ledger = InMemoryLedger(RULES, clock)
        replies = InMemoryReplies(ledger)
        yield World(InMemoryBatches(stores, replies), stores, replies, ledger, clock)
        return
    database = Database(request.getfixturevalue("database_url"), pool_size=8)
    real = PostgresLedger(database, RULES, clock)
    yield World(
        PostgresBatches(database, real),
        PostgresInbox(database, WAIT),
        PostgresReplies(database, real),
        real,
        clock,
    )
    database.close()


# ---- who waits --------------------------------------------------------------------------------


def test_waiting_is_backfill_that_nobody_has_tried(world: World) -> None:
    """Neither what is interactive, nor what some worker has taken, nor what is batched."""
    world.accept("interactive", lane=Lane.INTERACTIVE)
    tried, batched, free = (world.accept(name) for name in ("tried", "batched", "free"))
    world.open(world.item(batched))
    later = START + WAIT
    claim = world.inbox.claim_transcript(tried, later, LEASE)
    assert claim is not None
    assert [free] == world.waiting()
    world.inbox.postpone(claim, later, "the model endpoint did not answer")
    assert [free] == world.waiting()


def test_waiting_is_bounded_in_number_and_size(world: World) -> None:
    """The longest waiting first; one is always found, however large it is."""
    receipts = []
    for number in range(3):
        receipts.append(world.accept(f"s{number}", text="word " * 100))
        world.clock.advance(timedelta(seconds=1))
    until = world.clock.now() + WAIT
    assert receipts == world.waiting()
    assert receipts[:2] == world.waiting(limit=2)
    assert receipts[:1] == [item.id for item in world.batches.find_waiting(until, 10, 1)]
    assert [] == world.waiting(after=timedelta(minutes=1))


def test_waiting_transcript_keeps_its_text_and_lane(world: World) -> None:
    """It is what was pushed."""
    receipt = world.accept("s1")
    (found,) = world.batches.find_waiting(START + WAIT, 10, MANY)
    assert (receipt, Lane.BACKFILL, "Tea.") == (found.id, found.lane, found.messages[0].content)


def test_parked_backfill_waits_again_later(world: World) -> None:
    """It has its reason, and is gathered an hour before it would go the live road."""
    receipt, other = world.accept("s1"), world.accept("s2")
    world.open(world.item(other))
    due_at = START + WAIT + timedelta(minutes=5)
    world.batches.park_waiting([receipt, other], due_at, "no room")
    assert ("parked", "no room", due_at) == world.status(receipt)
    assert ("queued", "batched", START + DAY) == world.status(other)
    assert [] == world.waiting()
    world.clock.advance(timedelta(minutes=5))
    assert [receipt] == world.waiting()
    world.open(world.item(receipt))
    assert ("queued", "batched", world.clock.now() + DAY) == world.status(receipt)


def test_released_backfill_is_due_at_once(world: World) -> None:
    """What is in a batch stays there."""
    receipt, other = world.accept("s1"), world.accept("s2")
    world.open(world.item(other))
    world.batches.release_waiting([receipt, other], START)
    assert world.inbox.claim_transcript(receipt, START, LEASE)
    assert world.inbox.claim_transcript(other, START, LEASE) is None


def test_one_gathers_at_a_time(world: World) -> None:
    """Another process goes without; the next one may again, also after a failure."""

    def is_alone() -> bool:
        with world.batches.gathering() as found:
            return found

    with ThreadPoolExecutor(1) as pool:
        with suppress(RuntimeError), world.batches.gathering() as first:
            others = [pool.submit(is_alone).result() for _ in range(2)]
            raise RuntimeError
        assert (True, [False, False], True) == (first, others, pool.submit(is_alone).result())


# ---- opening ----------------------------------------------------------------------------------


def test_batch_leaves_out_requests_whose_transcripts_do_not_wait_any_more(world: World) -> None:
    """One that a worker has taken takes its company out; without any item nothing is written."""
    taken, companion, free = (world.accept(name) for name in ("s1", "s2", "s3"))
    items = [world.item(taken, companion), world.item(free)]
    assert world.inbox.claim_transcript(taken, START + WAIT, LEASE)
    batch = Batch(BatchId(uuid.uuid4()), "small", START, START + DAY)
    assert items[1:] == world.batches.open_batch(batch, items, START, LEASE)
    assert ("queued", None) == world.status(companion)[:2]
    again = replace(batch, id=BatchId(uuid.uuid4()))
    assert [] == world.batches.open_batch(again, items, START, LEASE)
    assert [batch.id] == [report.id for report in world.batches.report("acme", 10)]


def test_transcript_is_in_one_batch_when_two_are_opened_at_once(world: World) -> None:
    """However many processes gather the same ones."""
    receipts = [world.accept(f"s{number}", Owner("acme", f"u{number}")) for number in range(8)]
    items = [world.item(it, owner=Owner("acme", f"u{n}")) for n, it in enumerate(receipts)]

    def open_one(_: int) -> Sequence[BatchItem]:
        batch = Batch(BatchId(uuid.uuid4()), "small", START, START + DAY)
        return world.batches.open_batch(batch, items, START, LEASE)

    with ThreadPoolExecutor(8) as pool:
        kept = [item.request_hash for found in pool.map(open_one, range(8)) for item in found]
    assert sorted(item.request_hash for item in items) == sorted(kept)


def test_money_is_set_aside_until_the_deadline_of_a_batch(world: World) -> None:
    """Two of these fit into a day; the third has no room, also after the time of a call."""
    receipts = [world.accept(f"s{number}") for number in range(3)]
    batch = world.open(*(world.item(receipt) for receipt in receipts[:2]))
    world.clock.advance(timedelta(hours=2))
    with pytest.raises(BudgetExceeded):
        world.item(receipts[2])
    claimed = _claim(world)
    assert batch.id == claimed.id
    world.batches.end_batch(claimed, BatchOutcome.FAILED, world.clock.now())
    assert world.item(receipts[2])


# ---- leases -----------------------------------------------------------------------------------


def test_batch_is_claimed_by_one_and_passed_on_when_its_lease_ends(world: World) -> None:
    """Who opened it holds it; whoever was thought dead cannot write any more."""
    batch = world.open(world.item(world.accept("s1")))
    assert world.batches.claim_batch(START, LEASE) is None
    claimed = _claim(world)
    assert (batch.id, BatchState.PREPARING, 2) == (claimed.id, claimed.state, claimed.fence)
    assert world.batches.claim_batch(world.clock.now(), LEASE) is None

    now = world.clock.now()
    with pytest.raises(LeaseLost):
        world.batches.record_file(batch, "file")
    with pytest.raises(LeaseLost):
        world.batches.record_running(batch, "theirs", now)
    with pytest.raises(LeaseLost):
        world.batches.postpone_batch(batch, now, None)
    with pytest.raises(LeaseLost):
        world.batches.end_batch(batch, BatchOutcome.COMPLETED, now)


def test_batch_remembers_its_road(world: World) -> None:
    """File, name at the provider, what went wrong, and when to look again."""
    batch = world.open(world.item(world.accept("s1")))
    world.batches.record_file(batch, "file")
    world.batches.record_running(batch, "theirs", START + timedelta(minutes=1))
    assert world.batches.claim_batch(START, LEASE) is None
    world.clock.advance(timedelta(minutes=1))
    claimed = world.batches.claim_batch(world.clock.now(), LEASE)
    assert claimed == Batch(
        batch.id, "small", START, START + DAY, BatchState.RUNNING, "file", "theirs", 2
    )

    world.batches.postpone_batch(claimed, START + timedelta(minutes=2), "no answer")
    assert world.batches.claim_batch(world.clock.now(), LEASE) is None
    assert "no answer" == world.batches.report("acme", 1)[0].last_error


def test_ended_batch_is_claimed_by_nobody(world: World) -> None:
    """Nothing is written about it either."""
    batch = world.open(world.item(world.accept("s1")))
    world.batches.end_batch(batch, BatchOutcome.EXPIRED, START)
    world.clock.advance(DAY)
    assert world.batches.claim_batch(world.clock.now(), LEASE) is None
    with pytest.raises(LeaseLost):
        world.batches.postpone_batch(batch, START, None)


# ---- answers ----------------------------------------------------------------------------------


def test_answer_is_stored_and_booked_once_at_the_price_of_batches(world: World) -> None:
    """However often it is told; nothing stays set aside for it."""
    first, second = world.accept("s1"), world.accept("s2")
    batch = world.open(world.item(first, second))
    answer = BatchAnswer(f"hash-{first}", REPLY)

    assert [True, False] == [world.batches.settle(batch, answer) for _ in range(2)]
    assert REPLY == world.replies.find_reply(f"hash-{first}")
    assert {second: (first, second)} == world.replies.find_companies(ALICE, [second])
    assert Spent(81, REPLY_MICROS) == world.spent()
    assert [] == world.batches.list_items(batch)
    world.item(first)
    assert not world.batches.settle(batch, BatchAnswer("hash-of-nobody", REPLY))


def test_answer_is_booked_once_when_many_tell_it_at_the_same_time(world: World) -> None:
    """Threads stand for processes that collect the same batch."""
    receipt = world.accept("s1")
    batch = world.open(world.item(receipt))
    answer = BatchAnswer(f"hash-{receipt}", REPLY)
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda _: world.batches.settle(batch, answer), range(8)))
    assert 1 == sum(told)
    assert Spent(81, REPLY_MICROS) == world.spent()


def test_answer_is_booked_also_when_a_live_call_was_faster(world: World) -> None:
    """Both are on the bill; the first reply stays."""
    receipt = world.accept("s1")
    item = world.item(receipt)
    batch = world.open(item)
    hold = world.ledger.reserve("small", BYTES, item.paid_for)
    live = replace(REPLY, text="live")
    world.replies.keep_reply(item.request_hash, live, item.paid_for, hold)
    assert world.batches.settle(batch, BatchAnswer(item.request_hash, REPLY))
    assert live == world.replies.find_reply(item.request_hash)
    assert Spent(162, 102 + REPLY_MICROS) == world.spent()


@pytest.mark.parametrize(("usage", "spent"), [(Usage(), Spent()), (Usage(60, 21), Spent(81, 51))])
def test_answer_without_a_reply_is_booked_by_what_it_used(
    world: World, usage: Usage, spent: Spent
) -> None:
    """One that failed costs nothing, one that was cut off its tokens."""
    receipt = world.accept("s1")
    batch = world.open(world.item(receipt))
    assert world.batches.settle(batch, BatchAnswer(f"hash-{receipt}", None, usage))
    assert spent == world.spent()
    assert world.replies.find_reply(f"hash-{receipt}") is None
    (report,) = world.batches.report("acme", 1)
    assert (1, 0, 1) == (report.requests, report.answered, report.failed)


def test_call_is_booked_on_the_day_on_which_it_was_handed_in(world: World) -> None:
    """The account that it was set aside on pays it."""
    receipt = world.accept("s1")
    batch = world.open(world.item(receipt))
    world.clock.advance(timedelta(hours=20))
    world.batches.settle(batch, BatchAnswer(f"hash-{receipt}", REPLY))
    assert Spent(81, REPLY_MICROS) == world.spent()


def test_items_are_listed_as_they_were_opened(world: World) -> None:
    """A worker that takes over knows what each request is for, and what is set aside."""
    item = world.item(world.accept("s1"), world.accept("s2"))
    batch = world.open(item)
    (found,) = world.batches.list_items(batch)
    assert (item.request_hash, item.paid_for) == (found.request_hash, found.paid_for)
    assert (item.hold.id, item.hold.day, True) == (
        found.hold.id,
        found.hold.day,
        found.hold.is_batch,
    )


# ---- the end ----------------------------------------------------------------------------------


def test_transcripts_are_due_and_money_is_free_when_a_batch_ends(world: World) -> None:
    """Those that nobody has taken meanwhile; answered or not, the usual road is the same."""
    answered, other = world.accept("s1"), world.accept("s2")
    batch = world.open(world.item(answered), world.item(other))
    world.batches.settle(batch, BatchAnswer(f"hash-{answered}", REPLY))
    released = world.batches.end_batch(batch, BatchOutcome.EXPIRED, START)

    assert {answered, other} == set(released)
    assert ("queued", None, START) == world.status(other)
    assert [] == world.waiting()
    assert {"queued": 2} == world.inbox.states("acme", [answered, other])
    (report,) = world.batches.report("acme", 1)
    assert (BatchState.ENDED, BatchOutcome.EXPIRED, START) == (
        report.state,
        report.outcome,
        report.ended_at,
    )
    assert (2, 1, 1) == (report.requests, report.answered, report.failed)
    assert world.item(answered)


def test_transcript_that_is_distilled_live_is_left_alone_when_its_batch_ends(world: World) -> None:
    """It was taken at the deadline."""
    receipt = world.accept("s1")
    batch = world.open(world.item(receipt))
    assert world.inbox.claim_transcript(receipt, START + DAY, LEASE)
    assert [] == world.batches.end_batch(batch, BatchOutcome.CANCELLED, START + DAY)
    assert TranscriptState.DISTILLING is world.inbox.status("acme", receipt).state


def test_states_count_what_is_batched_apart(world: World) -> None:
    """It takes hours: whoever waits for many sessions need not wait for those."""
    receipts = [world.accept("s1"), world.accept("s2")]
    world.open(world.item(receipts[0]))
    assert {"batched": 1, "queued": 1} == world.inbox.states("acme", receipts)


def test_report_shows_a_tenant_its_own_requests_only(world: World) -> None:
    """A batch may hold requests of several; the newest comes first."""
    mine, theirs = world.accept("s1"), world.accept("s2", ELSEWHERE)
    shared = world.open(world.item(mine), world.item(theirs, owner=ELSEWHERE))
    world.clock.advance(timedelta(minutes=1))
    own = world.open(world.item(world.accept("s3", BOB), owner=BOB))

    assert [(own.id, 1), (shared.id, 1)] == [
        (report.id, report.requests) for report in world.batches.report("acme", 10)
    ]
    assert [own.id] == [report.id for report in world.batches.report("acme", 1)]
    assert [shared.id] == [report.id for report in world.batches.report("acme", 10, own.id)]
    assert [] == world.batches.report("acme", 10, shared.id)
    assert [shared.id] == [report.id for report in world.batches.report("other", 10)]
    assert [] == world.batches.report("nobody", 10)


def _claim(world: World) -> Batch:
    world.clock.advance(LEASE)
    claimed = world.batches.claim_batch(world.clock.now(), LEASE)
    assert claimed is not None
    return claimed
