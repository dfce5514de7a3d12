"""The ledger keeps its contract, in memory and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event
from structlog.testing import capture_logs

from config.spending import Budget, BudgetPolicy, Budgets, Limit, Price
from pipelines.adapters.postgres import Database, PostgresLedger, PostgresReplies
from pipelines.errors import BudgetExceeded
from pipelines.model import Owner
from pipelines.ports import ChatReply, Entry, Hold, Ledger, PaidFor, Purpose, ReplyStore
from pipelines.stages.cost import Spent, Usage
from pipelines.testing.ledger import InMemoryLedger
from pipelines.testing.models import InMemoryReplies
from pipelines.testing.surroundings import ManualClock
from tests.builders import ALICE, BOB, START

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TODAY = START.date()
PRICES = {"small": Price(Decimal(1), Decimal(2))}
ELSEWHERE = Owner("other", "alice")
# A call of 250 bytes is estimated at 100 tokens and 50 for the answer: 200 micro-units.
BYTES, TOKENS, MICROS = 250, 150, 200
REPLY = ChatReply("{}", "small", 60, 20)
REPLY_SPENT = Spent(80, 100)


def policy(**budgets: Any) -> BudgetPolicy:  # noqa: ANN401 - tenant_day, user_day
    return BudgetPolicy(prices=PRICES, default=Budgets(**budgets), completion_allowance=50)


def hard(tokens: int | None = None, micros: int | None = None) -> Budget:
    return Budget(hard=Limit(micros, tokens))


@dataclass
class Till:
    """A ledger and the replies that are booked in it, at a time that is told."""

    ledger: Ledger
    replies: ReplyStore
    clock: ManualClock
    made: int = field(default=0)

    def reserve(self, owner: Owner = ALICE, model: str = "small", size: int = BYTES) -> Hold:
        return self.ledger.reserve(model, size, PaidFor(owner, Purpose.DISTILL))

    def pay(
        self,
        owner: Owner = ALICE,
        reply: ChatReply = REPLY,
        purpose: Purpose = Purpose.DISTILL,
        model: str = "small",
    ) -> None:
        """A whole call."""
        self.made += 1
        paid_for = PaidFor(owner, purpose)
        hold = self.ledger.reserve(model, BYTES, paid_for)
        self.replies.keep_reply(f"hash-{self.made}", reply, paid_for, hold)

    def entries(self, tenant_id: str = "acme", user_id: str | None = None) -> list[Entry]:
        return list(self.ledger.report(tenant_id, user_id, date(2026, 1, 1), 100).entries)

    def spent(self, owner: Owner = ALICE) -> Spent:
        return self.ledger.spent_on(owner.tenant_id, owner.user_id, TODAY)


@pytest.fixture(params=["memory", "postgres"])
def make_till(request: pytest.FixtureRequest) -> Iterator[Callable[[BudgetPolicy], Till]]:
    clock = ManualClock(START)
    if request.param == "memory":

        def make_in_memory(rules: BudgetPolicy) -> Till:
            ledger = InMemoryLedger(rules, clock)
            return Till(ledger, InMemoryReplies(ledger), clock)

        yield make_in_memory
        return
    database = Database(request.getfixturevalue("database_url"), pool_size=8)

    def make_real(rules: BudgetPolicy) -> Till:
        ledger = PostgresLedger(database, rules, clock)
        return Till(ledger, PostgresReplies(database, ledger), clock)

    yield make_real
    database.close()


# ---- booking --------------------------------------------------------------------------------


def test_ledger_adds_up_the_calls_of_a_day(make_till: Callable[[BudgetPolicy], Till]) -> None:
    """One row for each user, day, model and purpose, whatever the number of calls."""
    till = make_till(policy())
    for _ in range(3):
        till.pay()
    till.pay(purpose=Purpose.JUDGE)
    till.pay(BOB)
    till.clock.advance(timedelta(days=1))
    till.pay()

    counted = {
        (entry.day, entry.owner, entry.purpose): (entry.calls, entry.prompt_tokens, entry.micros)
        for entry in till.entries()
    }
    assert {
        (TODAY, ALICE, Purpose.DISTILL): (3, 180, 300),
        (TODAY, ALICE, Purpose.JUDGE): (1, 60, 100),
        (TODAY, BOB, Purpose.DISTILL): (1, 60, 100),
        (TODAY + timedelta(days=1), ALICE, Purpose.DISTILL): (1, 60, 100),
    } == counted


def test_ledger_books_a_reply_once_when_it_is_kept_twice(
    make_till: Callable[[BudgetPolicy], Till],
) -> None:
    """A doubled call of one request is one reply and one entry."""
    till = make_till(policy(user_day=hard(tokens=1_000)))
    paid_for = PaidFor(ALICE, Purpose.DISTILL)
    for hold in [till.reserve(), till.reserve()]:
        till.replies.keep_reply("same", REPLY, paid_for, hold)

    (entry,) = till.entries()
    assert (1, 60, 20) == (entry.calls, entry.prompt_tokens, entry.completion_tokens)
    # Nothing is set aside any more: all that is left can be had.
    till.reserve(size=round((1_000 - 80 - 50) * 2.5))


def test_ledger_counts_a_model_without_a_price_without_money(
    make_till: Callable[[BudgetPolicy], Till],
) -> None:
    """Unpriced calls are marked, never guessed."""
    till = make_till(policy())
    till.pay(model="unknown", reply=ChatReply("{}", "unknown-2026", 60, 20))
    till.pay()

    report = till.ledger.report("acme", None, TODAY, 10)
    assert {("unknown", 1, 0), ("small", 0, 100)} == {
        (entry.model, entry.unpriced_calls, entry.micros) for entry in report.entries
    }
    assert (2, 1, Spent(160, 100)) == (report.calls, report.unpriced_calls, report.total)


def test_ledger_estimates_a_call_whose_tokens_were_not_reported(
    make_till: Callable[[BudgetPolicy], Till],
) -> None:
    """By the size of request and answer, and marked."""
    till = make_till(policy())
    till.pay(reply=ChatReply("x" * 25, "small"))

    (entry,) = till.entries()
    assert (100, 10, 120, 1) == (
        entry.prompt_tokens,
        entry.completion_tokens,
        entry.micros,
        entry.estimated_calls,
    )


def test_ledger_books_an_answer_that_could_not_be_kept(
    make_till: Callable[[BudgetPolicy], Till],
) -> None:
    """What was cut off was paid; what reported nothing was not."""
    till = make_till(policy(user_day=hard(tokens=150)))
    paid_for = PaidFor(ALICE, Purpose.DISTILL)
    till.ledger.book_lost(till.reserve(), Usage(), paid_for)
    assert [] == till.entries()

    till.ledger.book_lost(till.reserve(), Usage(60, 20), paid_for)

    assert [(1, 100)] == [(entry.calls, entry.micros) for entry in till.entries()]
    with pytest.raises(BudgetExceeded):
        till.reserve()


def test_ledger_books_on_the_day_on_which_the_call_was_made(
    make_till: Callable[[BudgetPolicy], Till],
) -> None:
    """A call that lasts beyond midnight is on the account that was asked for it."""
    till = make_till(policy(user_day=hard(tokens=150)))
    hold = till.reserve()
    till.clock.advance(timedelta(days=1))
    till.replies.keep_reply("hash", REPLY, PaidFor(ALICE, Purpose.DISTILL), hold)
    assert [TODAY] == [entry.day for entry in till.entries()]
    assert till.reserve()


# ---- reports --------------------------------------------------------------------------------


def test_report_shows_a_tenant_its_own_entries_only(
    make_till: Callable[[BudgetPolicy], Till],
) -> None:
    """Of the tenant, of the user who was asked for, since the day that was asked for."""
    till = make_till(policy())
    for owner in (ALICE, BOB, ELSEWHERE):
        till.pay(owner)
    till.clock.advance(timedelta(days=1))
    till.pay(BOB)

    assert 3 == len(till.entries())
    assert [ALICE] == [entry.owner for entry in till.entries(user_id="alice")]
    since = till.ledger.report("acme", None, TODAY + timedelta(days=1), 10)
    assert ([BOB], 1) == ([entry.owner for entry in since.entries], since.calls)
    assert REPLY_SPENT == till.spent(ELSEWHERE)
    assert Spent(160, 200) == till.ledger.spent_on("acme", None, TODAY)
    nothing = till.ledger.report("nobody", None, TODAY, 10)
    assert ((), 0, Spent(), True) == (
        nothing.entries,
        nothing.calls,
        nothing.total,
        nothing.is_whole,
    )


def test_report_is_bounded_and_sums_up_everything(
    make_till: Callable[[BudgetPolicy], Till],
) -> None:
    """The newest and dearest come first, and no entry is missing from the sums."""
    till = make_till(policy())
    till.pay(ALICE)
    till.pay(BOB)
    till.pay(BOB)
    till.clock.advance(timedelta(days=1))
    till.pay(ALICE)

    report = till.ledger.report("acme", None, TODAY, 2)
    assert [(TODAY + timedelta(days=1), ALICE), (TODAY, BOB)] == [
        (entry.day, entry.owner) for entry in report.entries
    ]
    assert (4, Spent(320, 400), False) == (report.calls, report.total, report.is_whole)


# ---- hard budgets ---------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [hard(tokens=TOKENS * 2), hard(micros=MICROS * 2)])
def test_hard_budget_counts_what_is_under_way(
    make_till: Callable[[BudgetPolicy], Till], budget: Budget
) -> None:
    """Two calls fit; the third would be one too many, although none has been booked."""
    till = make_till(policy(user_day=budget))
    first = till.reserve()
    till.reserve()
    with pytest.raises(BudgetExceeded, match="the user's budget of 2026-03-02") as caught:
        till.reserve()
    assert (START + timedelta(minutes=5), False) == (
        caught.value.resume_at,
        caught.value.is_tenants,
    )
    till.ledger.release(first)
    till.reserve()


def test_hard_budget_has_room_again_when_a_call_came_to_less(
    make_till: Callable[[BudgetPolicy], Till],
) -> None:
    """What is booked takes the place of what was set aside."""
    till = make_till(policy(user_day=hard(tokens=TOKENS + 80)))
    till.pay()
    till.reserve()
    with pytest.raises(BudgetExceeded):
        till.reserve()


def test_hard_budget_of_a_tenant_is_shared_by_its_users(
    make_till: Callable[[BudgetPolicy], Till],
) -> None:
    """And touches no other tenant."""
    till = make_till(policy(tenant_day=hard(tokens=TOKENS)))
    till.reserve(ALICE)
    with pytest.raises(BudgetExceeded, match="the tenant's budget") as caught:
        till.reserve(BOB)
    assert caught.value.is_tenants
    till.reserve(ELSEWHERE)


def test_hard_budget_of_a_user_leaves_the_others_alone(
    make_till: Callable[[BudgetPolicy], Till],
) -> None:
    """Bob pays for himself."""
    till = make_till(policy(user_day=hard(tokens=TOKENS)))
    till.reserve(ALICE)
    with pytest.raises(BudgetExceeded):
        till.reserve(ALICE)
    till.reserve(BOB)


def test_refused_call_sets_nothing_aside(make_till: Callable[[BudgetPolicy], Till]) -> None:
    """The user's budget refuses it, so the tenant's is not charged for it either."""
    till = make_till(policy(tenant_day=hard(tokens=TOKENS * 2), user_day=hard(tokens=TOKENS)))
    till.reserve(ALICE)
    with pytest.raises(BudgetExceeded, match="the user's"):
        till.reserve(ALICE)
    till.reserve(BOB)


def test_hard_budget_is_fresh_on_the_next_day(make_till: Callable[[BudgetPolicy], Till]) -> None:
    """Midnight in UTC is when a day ends."""
    till = make_till(policy(user_day=hard(tokens=TOKENS)))
    till.pay()
    till.clock.advance(timedelta(hours=14, minutes=59))
    with pytest.raises(BudgetExceeded):
        till.reserve()
    till.clock.advance(timedelta(minutes=1))
    till.reserve()


def test_hold_of_a_dead_worker_expires(make_till: Callable[[BudgetPolicy], Till]) -> None:
    """What nobody ends is free again after longer than a call can take."""
    till = make_till(policy(user_day=hard(tokens=TOKENS)))
    hold = till.reserve()
    till.clock.advance(timedelta(minutes=4, seconds=59))
    with pytest.raises(BudgetExceeded):
        till.reserve()
    till.clock.advance(timedelta(seconds=1))
    till.reserve()
    till.ledger.release(hold)
    with pytest.raises(BudgetExceeded):
        till.reserve()


def test_tenant_with_budgets_of_its_own_is_held_to_those(
    make_till: Callable[[BudgetPolicy], Till],
) -> None:
    """A tenant that is named has what is written for it."""
    rules = BudgetPolicy(
        prices=PRICES,
        default=Budgets(user_day=hard(tokens=0)),
        tenants={"acme": Budgets()},
        completion_allowance=50,
    )
    till = make_till(rules)
    assert till.reserve(ALICE).id is None
    with pytest.raises(BudgetExceeded, match="must be raised"):
        till.reserve(ELSEWHERE)


@pytest.mark.parametrize("budgets", [("tenant_day",), ("user_day",), ("tenant_day", "user_day")])
def test_hard_budget_is_never_overstepped_by_many_threads(
    make_till: Callable[[BudgetPolicy], Till], budgets: tuple[str, ...]
) -> None:
    """32 threads that pay as fast as they can use the budget up, and not one token more."""
    room = TOKENS + 80 * 19
    till = make_till(policy(**dict.fromkeys(budgets, hard(tokens=room))))
    paid_for = PaidFor(ALICE, Purpose.DISTILL)

    def work(number: int) -> int:
        made = 0
        for attempt in range(3):
            try:
                hold = till.ledger.reserve("small", BYTES, paid_for)
            except BudgetExceeded:
                continue
            till.replies.keep_reply(f"{number}-{attempt}", REPLY, paid_for, hold)
            made += 1
        return made

    with ThreadPoolExecutor(32) as pool:
        made = sum(pool.map(work, range(32)))
    while True:
        try:
            till.pay()
        except BudgetExceeded:
            break
        made += 1

    assert 20 == made
    assert Spent(1_600, 2_000) == till.spent()


# ---- soft budgets ---------------------------------------------------------------------------


def test_soft_budget_is_told_once_a_day_and_lets_calls_pass(
    make_till: Callable[[BudgetPolicy], Till],
) -> None:
    """One line for each day and subject, not for each call, and none before it is used up."""
    soft = Budget(soft=Limit(tokens=80))
    till = make_till(policy(tenant_day=soft, user_day=soft))
    with capture_logs() as logs:
        till.pay(ALICE)
        assert [] == logs
        for _ in range(3):
            till.pay(ALICE)
            till.pay(BOB)
        till.clock.advance(timedelta(days=1))
        till.pay(ALICE)
        till.pay(ALICE)

    told = [(line["budget"], line["user_id"], line["day"]) for line in logs]
    assert [
        ("tenant_day", None, "2026-03-02"),
        ("user_day", "alice", "2026-03-02"),
        ("user_day", "bob", "2026-03-02"),
        ("tenant_day", None, "2026-03-03"),
        ("user_day", "alice", "2026-03-03"),
    ] == told
    assert {"soft_budget_used_up"} == {line["event"] for line in logs}


def test_soft_budget_is_told_when_the_hard_one_refuses(
    make_till: Callable[[BudgetPolicy], Till],
) -> None:
    """A call that is not made tells all the same."""
    till = make_till(policy(user_day=Budget(soft=Limit(tokens=80), hard=Limit(tokens=TOKENS))))
    till.pay()
    with capture_logs() as logs, pytest.raises(BudgetExceeded):
        till.reserve()
    assert ["soft_budget_used_up"] == [line["event"] for line in logs]


# ---- without budgets ------------------------------------------------------------------------


def test_ledger_costs_no_query_of_its_own_when_there_is_no_budget(database_url: str) -> None:
    """A reply and its entry are one transaction of two statements."""
    database = Database(database_url)
    ledger = PostgresLedger(database, policy(), ManualClock(START))
    replies, paid_for = PostgresReplies(database, ledger), PaidFor(ALICE, Purpose.DISTILL)
    asked: list[str] = []
    begun: list[object] = []
    event.listen(database.engine, "before_cursor_execute", lambda *args: asked.append(args[2]))
    event.listen(database.engine, "begin", begun.append)

    hold = ledger.reserve("small", BYTES, paid_for)
    ledger.release(hold)
    assert ([], []) == (asked, begun)
    replies.keep_reply("hash", REPLY, paid_for, hold)

    assert [["INSERT", "INTO", "replies"], ["WITH", "entry", "AS"]] == [
        t.split()[:3] for t in asked
    ]
    assert 1 == len(begun)
    database.close()
