"""What is paid is booked once, and a hard budget holds, over HTTP and PostgreSQL."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from config.operation import RetryPolicy
from config.policy import DistillPolicy
from config.spending import Budget, BudgetPolicy, Budgets, Limit, Price
from pipelines.adapters.model_distiller import ModelDistiller
from pipelines.adapters.openai_chat import OpenAiChatModel
from pipelines.adapters.openai_client import make_openai_client
from pipelines.adapters.paid_chat import PaidChat
from pipelines.adapters.postgres import (
    Database,
    PostgresInbox,
    PostgresLedger,
    PostgresReplies,
    PostgresWorkTable,
)
from pipelines.errors import BadReply, BudgetExceeded, MemstillError, ModelUnavailable
from pipelines.flows.distill import Distill
from pipelines.flows.sweep import Sweep
from pipelines.model import Lane, Owner, ReceiptId, TranscriptState
from pipelines.ports import ChatRequest, Entry, PaidFor, Purpose
from pipelines.stages.cost import Spent
from pipelines.testing.models import OneDistiller
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.acceptance.deployment import wait_until
from tests.builders import ALICE, BOB, PROMPT, START, make_transcript
from tests.endpoint import Scripted, ScriptedEndpoint, completion, garbage, status
from workers.retry import judge

if TYPE_CHECKING:
    from collections.abc import Iterator

    import openai

    from pipelines.ports import ChatReply, Hold

ELSEWHERE = Owner("other", "carol")
REQUEST = ChatRequest("s", "u", "facts", {})
# What the scripted endpoint reports for every answer.
PAID = Spent(18, 25)
PRICES = {"scripted-model": Price(Decimal(1), Decimal(2))}
DAY = START.date()


def limited(tokens: int | None = None, **policy: Any) -> BudgetPolicy:  # noqa: ANN401
    """A tenant's budget; a small request is estimated at 18 tokens, as many as it comes to."""
    hard = Budget(hard=Limit(tokens=tokens))
    values: dict[str, Any] = {"prices": PRICES, "bytes_per_token": 1.0, "completion_allowance": 14}
    return BudgetPolicy(**(values | {"tenants": {"acme": Budgets(tenant_day=hard)}} | policy))


class DyingReplies(PostgresReplies):
    """Loses its worker around a commit: once before it, or once after it."""

    def __init__(self, database: Database, ledger: PostgresLedger, *, stored: bool) -> None:
        super().__init__(database, ledger)
        self._stored = stored
        self._is_dead = False

    def keep_reply(
        self, request_hash: str, reply: ChatReply, paid_for: PaidFor, hold: Hold
    ) -> None:
        if self._is_dead or self._stored:
            super().keep_reply(request_hash, reply, paid_for, hold)
        if not self._is_dead:
            self._is_dead = True
            raise ConnectionAbortedError


@dataclass
class World:
    """A scripted endpoint, a database, and a clock that is told the time."""

    endpoint: ScriptedEndpoint
    client: openai.OpenAI
    database: Database
    clock: ManualClock

    @property
    def model(self) -> OpenAiChatModel:
        return self.patient_model(RetryPolicy(in_call_attempts=1))

    def patient_model(self, retry: RetryPolicy) -> OpenAiChatModel:
        return OpenAiChatModel(self.client, "scripted-model", retry, budget_seconds=5)

    def ledger(self, policy: BudgetPolicy) -> PostgresLedger:
        return PostgresLedger(self.database, policy, self.clock)

    def chat(self, policy: BudgetPolicy, max_repairs: int = 0) -> PaidChat:
        replies = PostgresReplies(self.database, self.ledger(policy))
        return PaidChat(self.model, replies, max_repairs)

    def entries(self) -> list[Entry]:
        return list(self.ledger(BudgetPolicy()).report("acme", None, DAY, 100).entries)

    def spent(self) -> Spent:
        return self.ledger(BudgetPolicy()).spent_on("acme", None, DAY)

    def held(self) -> int:
        with self.database.transaction() as connection:
            return int(connection.exec_driver_sql("SELECT count(*) FROM holds").scalar_one())


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    with (
        ScriptedEndpoint() as endpoint,
        make_openai_client(endpoint.base_url, None, 5) as client,
    ):
        database = Database(database_url, pool_size=8)
        yield World(endpoint, client, database, ManualClock(START))
        database.close()


def ask(chat: PaidChat, text: str = "u", owner: Owner = ALICE) -> str:
    request = ChatRequest("s", text, "facts", {})
    return chat.ask(request, PaidFor(owner, Purpose.DISTILL), str)


# ---- each call is booked once ---------------------------------------------------------------


def test_call_is_booked_once_when_the_worker_dies_after_it(world: World) -> None:
    """Reply and entry are committed together: whoever goes on pays nothing and books nothing."""
    policy = limited(100)
    doomed = DyingReplies(world.database, world.ledger(policy), stored=True)
    with pytest.raises(ConnectionAbortedError):
        ask(PaidChat(world.model, doomed, 0))
    ask(world.chat(policy))

    assert 1 == len(world.endpoint.chat_calls)
    assert ([1], PAID, 0) == ([e.calls for e in world.entries()], world.spent(), world.held())


def test_call_is_paid_once_when_another_worker_asked_between_two_tries(world: World) -> None:
    """Who was frozen before a further try looks for the reply first."""
    world.endpoint.queue(status(500))
    policy = limited(100)
    replies = PostgresReplies(world.database, world.ledger(policy))
    slow = RetryPolicy(in_call_attempts=2, in_call_wait=timedelta(seconds=1))
    late = PaidChat(world.patient_model(slow), replies, 0)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(ask, late)
        wait_until(lambda: len(world.endpoint.chat_calls) == 1, "its first try")
        other = ask(world.chat(policy))

    assert other == answer.result()
    assert 2 == len(world.endpoint.chat_calls)
    assert ([1], PAID, 0) == ([e.calls for e in world.entries()], world.spent(), world.held())


def test_call_is_booked_once_when_the_worker_dies_before_the_commit(world: World) -> None:
    """What was never stored is asked again; what the dead one had set aside becomes free."""
    policy = limited(100)
    doomed = DyingReplies(world.database, world.ledger(policy), stored=False)
    with pytest.raises(ConnectionAbortedError):
        ask(PaidChat(world.model, doomed, 0))
    assert ([], 1) == (world.entries(), world.held())
    ask(world.chat(policy))

    assert ([1], PAID, 1) == ([e.calls for e in world.entries()], world.spent(), world.held())
    world.clock.advance(policy.hold)
    ask(world.chat(policy), "another")
    assert 0 == world.held()


@pytest.mark.parametrize(
    "useless",
    [
        completion('{"facts": [', finish_reason="length"),
        completion(""),
        completion(None, refusal="I cannot help with that."),
    ],
)
def test_answer_that_is_no_use_is_booked_when_its_cost_was_reported(
    world: World, useless: Scripted
) -> None:
    """Cut off, empty, refused: it was paid all the same, and so was the answer after it."""
    world.endpoint.queue(useless, completion("fine"))
    assert "fine" == ask(world.chat(limited(1_000), max_repairs=1))
    (entry,) = world.entries()
    assert (2, 22, 14, 50, 0) == (
        entry.calls,
        entry.prompt_tokens,
        entry.completion_tokens,
        entry.micros,
        world.held(),
    )


def test_answer_that_cannot_be_parsed_is_booked_like_any_other(world: World) -> None:
    """Each of the repairs is a call."""
    world.endpoint.queue(*[completion("nonsense")] * 3)

    def refuse(_: str) -> str:
        raise BadReply("no JSON")

    with pytest.raises(BadReply):
        world.chat(limited(1_000), max_repairs=2).ask(
            REQUEST, PaidFor(ALICE, Purpose.DISTILL), refuse
        )
    assert [3] == [entry.calls for entry in world.entries()]


@pytest.mark.parametrize(
    ("fault", "error"),
    [(status(500), ModelUnavailable), (status(429), ModelUnavailable), (garbage(), BadReply)],
)
def test_call_that_came_to_nothing_is_not_booked(
    world: World, fault: Scripted, error: type[MemstillError]
) -> None:
    """And what was set aside for it is free at once."""
    world.endpoint.queue(fault)
    with pytest.raises(error):
        ask(world.chat(limited(18)))
    assert ([], 0) == (world.entries(), world.held())
    ask(world.chat(limited(18)))


# ---- hard is hard ---------------------------------------------------------------------------


def test_hard_budget_holds_when_32_threads_call_at_once(world: World) -> None:
    """As many calls as there is room for are made, whatever the threads do, and not one more."""
    chat = world.chat(limited(18 * 10 + 17))

    def call(number: int) -> bool:
        try:
            ask(chat, chr(ord("A") + number))
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(32) as pool:
        made = list(pool.map(call, range(32)))

    assert 10 == sum(made) == len(world.endpoint.chat_calls)
    assert (180, 0) == (world.spent().tokens, world.held())


def test_refused_call_of_a_judgement_says_when_to_try_again(world: World) -> None:
    """A judge's question is held to the same budgets, and whoever asked can wait."""
    request, paid_for = ChatRequest("s", "u", "verdicts", {}), PaidFor(ALICE, Purpose.JUDGE)
    with pytest.raises(BudgetExceeded) as caught:
        world.chat(limited(0)).ask(request, paid_for, str)
    assert isinstance(caught.value, MemstillError)
    assert START + timedelta(minutes=5) == caught.value.resume_at
    assert [] == world.endpoint.chat_calls


# ---- sessions are parked and go on ----------------------------------------------------------


class Road:
    """Distilling with the sweep that wakes it, as a worker with these budgets would do it."""

    def __init__(
        self, world: World, policy: BudgetPolicy, cut: DistillPolicy | None = None
    ) -> None:
        self.inbox = PostgresInbox(world.database)
        self.waker = RecordingWaker()
        replies = PostgresReplies(world.database, world.ledger(policy))
        self.flow = Distill(
            self.inbox,
            OneDistiller(
                ModelDistiller(world.model, replies, PROMPT, cut or DistillPolicy(max_sessions=1))
            ),
            self.waker,
            world.clock,
            lease=timedelta(minutes=5),
            max_attempts=2,
            judge=partial(judge, policy=RetryPolicy(max_attempts=2)),
        )
        self.sweep = Sweep(PostgresWorkTable(world.database), self.waker, world.clock)

    def accept(self, owner: Owner, count: int) -> list[ReceiptId]:
        items = [
            make_transcript(f"I own {n} boats.", owner=owner, session=f"{owner.user_id}-{n}")
            for n in range(count)
        ]
        self.inbox.accept(items, START)
        return [item.id for item in items]

    def work(self) -> None:
        """One sweep, and all that those whom it wakes take out of the line."""
        self.waker.receipts.clear()
        self.sweep.run()
        for _ in self.waker.receipts:
            while self.flow.run_next(Lane.INTERACTIVE).is_more:
                pass

    def states(self, tenant_id: str, receipts: list[ReceiptId]) -> dict[str, int]:
        return self.inbox.states(tenant_id, receipts)


def sparing(**budgets: Any) -> BudgetPolicy:  # noqa: ANN401 - default, tenants
    """Sets 2 tokens aside for a call, however long; 18 are what it comes to."""
    return BudgetPolicy(bytes_per_token=1e9, completion_allowance=1, **budgets)


def user_budget(tokens: int) -> Budgets:
    return Budgets(user_day=Budget(hard=Limit(tokens=tokens)))


def test_sessions_beyond_a_hard_budget_are_parked_and_resume_on_the_next_day(world: World) -> None:
    """Some are paid today, the others tomorrow; nobody else waits, and nothing is lost."""
    hard = Budgets(tenant_day=Budget(hard=Limit(tokens=18 * 3 + 2)))
    road = Road(world, sparing(tenants={"acme": hard}))
    receipts = [*road.accept(ALICE, 3), *road.accept(BOB, 3)]
    others = road.accept(ELSEWHERE, 3)
    road.work()

    assert {"distilled": 4, "parked": 2} == road.states("acme", receipts)
    assert {"distilled": 3} == road.states("other", others)
    parked = [
        status
        for status in (road.inbox.status("acme", receipt) for receipt in receipts)
        if status.state is TranscriptState.PARKED
    ]
    assert {(START + timedelta(minutes=5), 0)} == {(item.due_at, item.attempts) for item in parked}
    assert all("the tenant's budget of 2026-03-02" in str(item.reason) for item in parked)

    # Looked at again and again, for longer than any number of attempts, without a call.
    for _ in range(10):
        world.clock.advance(timedelta(minutes=5))
        road.work()
    assert {"distilled": 4, "parked": 2} == road.states("acme", receipts)
    assert 7 == len(world.endpoint.chat_calls)

    world.clock.advance(timedelta(days=1))
    road.work()
    assert {"distilled": 6} == road.states("acme", receipts)
    assert 9 == len(world.endpoint.chat_calls)


def test_parked_sessions_resume_when_the_budget_is_raised(world: World) -> None:
    """Within minutes, by themselves, on the same day."""
    poor = sparing(default=user_budget(1))
    before = Road(world, poor)
    receipts = before.accept(ALICE, 5)
    before.work()
    assert {"parked": 5} == before.states("acme", receipts)

    rich = Road(world, sparing(default=user_budget(10**6)))
    rich.work()
    assert {"parked": 5} == rich.states("acme", receipts)
    world.clock.advance(timedelta(minutes=5))
    rich.work()
    assert {"distilled": 5} == rich.states("acme", receipts)


def test_backlog_is_parked_by_the_first_that_finds_no_room(world: World) -> None:
    """Ten thousand waiting sessions do not each ask whether there is room."""
    poor = sparing(default=user_budget(1))
    road = Road(world, poor)
    receipts = road.accept(ALICE, 9)
    road.flow.run(receipts[0])

    assert {"parked": 9} == road.states("acme", receipts)
    with world.database.transaction() as connection:
        claimed = connection.exec_driver_sql(
            "SELECT sum(fence) - 9 * min(fence) FROM transcripts"
        ).scalar_one()
    assert 1 == claimed


def test_window_that_was_paid_is_not_paid_again_when_the_next_one_is_parked(world: World) -> None:
    """A long session goes on where the budget ended."""
    cut = DistillPolicy(window_chars=1_000, overlap_messages=0, max_sessions=1)
    words = [f"I own {number} boats. " * 30 for number in range(6)]
    transcript = make_transcript(*words, owner=ALICE)
    before = Road(world, sparing(default=user_budget(1_000)), cut)
    before.inbox.accept([transcript], START)
    # Beyond what was estimated, so that nothing is left for the windows that follow.
    world.endpoint.queue(dear_answer(9_000))
    before.work()
    assert {"parked": 1} == before.states("acme", [transcript.id])
    assert 1 == len(world.endpoint.chat_calls)

    world.clock.advance(timedelta(days=1))
    after = Road(world, BudgetPolicy(), cut)
    after.work()

    assert {"distilled": 1} == after.states("acme", [transcript.id])
    asked = [json.dumps(call.body) for call in world.endpoint.chat_calls]
    assert len(set(asked)) == len(asked) >= 3


def dear_answer(tokens: int) -> Scripted:
    body = {
        "model": "scripted-model",
        "choices": [{"message": {"content": '{"facts": []}'}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": tokens, "completion_tokens": 0},
    }
    return Scripted(body=json.dumps(body).encode())
