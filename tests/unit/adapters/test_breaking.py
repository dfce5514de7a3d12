"""Servers behind a breaker: what is asked, and what an error then says."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import timedelta
from itertools import islice
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from config.outages import OutagePolicy
from pipelines.adapters.breaking import (
    Breaker,
    Breakers,
    BreakingChatModel,
    BreakingEmbedder,
    BreakingIndex,
    BreakingReranker,
)
from pipelines.errors import (
    BadReply,
    DependencyUnavailable,
    IndexUnavailable,
    ModelRefused,
    ModelUnavailable,
)
from pipelines.ports import ChatReply, ChatRequest
from pipelines.testing.index import InMemoryIndex
from pipelines.testing.models import HashEmbedder, ScriptedChatModel
from pipelines.testing.surroundings import ManualClock
from tests.builders import ALICE, START, vector_of

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUEST = ChatRequest("s", "u", "facts", {})
POLICY = OutagePolicy(probe_lease=timedelta(seconds=30))
MINUTE = timedelta(minutes=1)


class Endpoint:
    """A chat model that can go away, and counts who asks."""

    def __init__(self) -> None:
        self.problem: Exception | None = None
        self.clock = ManualClock(START)
        self.breaker = Breaker("model", ModelUnavailable, POLICY, self.clock, lambda: 0.0)
        self.chat = ScriptedChatModel(lambda _: self.problem or ChatReply("yes", "m"))
        self.guarded = BreakingChatModel(self.chat, self.breaker)

    @property
    def calls(self) -> int:
        return len(self.chat.requests)

    def ask(self) -> ModelUnavailable | None:
        try:
            self.guarded.complete(REQUEST)
        except ModelUnavailable as error:
            return error
        return None

    def fail(self, times: int = 1) -> list[DependencyUnavailable]:
        self.problem = None
        found: list[DependencyUnavailable] = []
        for _ in range(times):
            self.problem = ModelUnavailable("500")
            error = self.ask()
            assert error is not None
            found.append(error)
        return found


@pytest.fixture
def endpoint() -> Endpoint:
    return Endpoint()


def test_server_that_is_away_is_asked_a_few_times_a_minute(endpoint: Endpoint) -> None:
    """A thousand who ask within ten minutes cost twenty calls, and none of them an attempt."""
    endpoint.ask()
    endpoint.clock.advance(POLICY.recent + MINUTE)
    errors = []
    for _ in range(1_000):
        errors += endpoint.fail()
        endpoint.clock.advance(timedelta(seconds=0.6))

    assert 20 >= endpoint.calls
    assert [False, *[True] * 999] == [error.is_outage for error in errors]
    assert POLICY.longest.total_seconds() >= max(it.retry_after_seconds or 0 for it in errors)


def test_server_is_asked_again_by_all_when_a_probe_was_answered(endpoint: Endpoint) -> None:
    """Within the bound of the probes."""
    endpoint.fail(POLICY.failures)
    assert not endpoint.breaker.may_ask()
    endpoint.problem = None
    endpoint.clock.advance(timedelta(seconds=endpoint.breaker.wait_seconds()))

    with capture_logs() as logs:
        assert [None] * 9 == [endpoint.ask() for _ in range(9)]
    assert ["dependency_back"] == [entry["event"] for entry in logs]


def test_outage_is_logged_when_it_begins_and_with_each_probe(endpoint: Endpoint) -> None:
    """Not with each call."""
    with capture_logs() as logs:
        endpoint.fail(50)
        endpoint.clock.advance(MINUTE)
        endpoint.fail(50)

    assert ["dependency_away"] * 2 == [entry["event"] for entry in logs]
    assert [5.0, 10.0] == [entry["probe_in_seconds"] for entry in logs]


def test_one_that_fails_while_others_are_answered_is_counted(endpoint: Endpoint) -> None:
    """The server is there; so it is the request."""
    for _ in range(9):
        endpoint.problem = None
        assert endpoint.ask() is None
        (error,) = endpoint.fail()
        assert not error.is_outage
        endpoint.clock.advance(MINUTE * 30)
    assert endpoint.breaker.may_ask()


@pytest.mark.parametrize("problem", [BadReply("x"), ModelRefused("401")])
def test_answer_that_is_of_no_use_is_an_answer(endpoint: Endpoint, problem: Exception) -> None:
    """Who refuses is not away."""
    endpoint.fail(POLICY.failures)
    endpoint.clock.advance(MINUTE)
    endpoint.problem = problem

    with pytest.raises(type(problem)):
        endpoint.guarded.complete(REQUEST)

    assert not endpoint.breaker.circuit.is_open


def test_server_that_asks_for_patience_is_not_away(endpoint: Endpoint) -> None:
    """However often it does; it says itself when to come back."""
    endpoint.problem = ModelUnavailable("429", retry_after_seconds=7, is_outage=True)
    found = [endpoint.ask() for _ in range(9)]

    assert [(True, 7)] * 9 == [
        (error.is_outage, error.retry_after_seconds) for error in found if error is not None
    ]
    assert endpoint.breaker.may_ask()


def test_probe_that_ends_in_a_defect_of_ours_lets_the_next_one_through(
    endpoint: Endpoint,
) -> None:
    """It said nothing about the server."""
    endpoint.fail(POLICY.failures)
    endpoint.clock.advance(MINUTE)
    endpoint.problem = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        endpoint.guarded.complete(REQUEST)

    assert endpoint.breaker.may_ask()
    assert endpoint.breaker.circuit.is_open


def test_threads_that_come_together_make_one_probe(endpoint: Endpoint) -> None:
    """The others are refused without a call."""
    endpoint.fail(POLICY.failures)
    endpoint.clock.advance(MINUTE)
    endpoint.problem = None
    gate = threading.Event()

    def wait(_: ChatRequest) -> ChatReply:
        gate.wait(10)
        return ChatReply("yes", "m")

    waiting = ScriptedChatModel(wait)
    guarded = BreakingChatModel(waiting, endpoint.breaker)

    def ask(_: int) -> bool:
        try:
            guarded.complete(REQUEST)
        except ModelUnavailable:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(ask, number) for number in range(8)]
        refused = [answer.result() for answer in islice(as_completed(answers), 7)]
        gate.set()
    assert [False] * 7 == refused
    assert 1 == len(waiting.requests)


def test_each_server_has_a_breaker_of_its_own() -> None:
    """One that is away takes no other along."""
    breakers = Breakers(POLICY, ManualClock(START))
    index, embedder, reranker = (
        breakers.of(name, kind)
        for name, kind in (
            ("index", IndexUnavailable),
            ("embedder", ModelUnavailable),
            ("reranker", ModelUnavailable),
        )
    )
    for _ in range(POLICY.failures):
        with pytest.raises(IndexUnavailable), index.asking():
            raise IndexUnavailable("away")

    assert index is breakers.of("index", IndexUnavailable)
    assert [embedder, index, reranker] == breakers.all()
    guarded = BreakingIndex(InMemoryIndex(), index)
    with pytest.raises(IndexUnavailable, match="index is away"):
        guarded.search(ALICE, None, vector_of("x"), "x", 9)
    assert [(256,)] == [it.shape for it in BreakingEmbedder(HashEmbedder(), embedder).embed(["x"])]
    assert [1.0] == BreakingReranker(OneScore(), reranker).rerank("q", ["t"])


class OneScore:
    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        del query
        return [1.0 for _ in texts]


class Notes:
    """A meter that writes down what it is told."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.states: list[bool] = []

    def note_call(self, dependency: str, outcome: str, seconds: float) -> None:
        assert (dependency, True) == ("model", seconds >= 0)
        self.calls.append(outcome)

    def note_state(self, dependency: str, *, is_open: bool) -> None:
        assert "model" == dependency
        self.states.append(is_open)


def test_meter_is_told_how_each_call_ended_and_when_the_server_went_and_came() -> None:
    """What was not asked at all is no call."""
    endpoint, notes = Endpoint(), Notes()
    endpoint.breaker.meter = notes

    endpoint.fail(POLICY.failures + 3)
    assert ["away"] * POLICY.failures == notes.calls
    assert [True] == notes.states

    endpoint.clock.advance(MINUTE)
    endpoint.problem = BadReply("x")
    with pytest.raises(BadReply):
        endpoint.guarded.complete(REQUEST)
    endpoint.problem = None
    endpoint.ask()

    assert ["refused", "answered"] == notes.calls[POLICY.failures :]
    assert [True, False] == notes.states
