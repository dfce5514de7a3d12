"""A model that is away for hours, and one transcript that it never answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from config.operation import RetryPolicy
from config.outages import OutagePolicy
from pipelines.adapters.breaking import Breaker
from pipelines.errors import ModelUnavailable
from pipelines.flows.sweep import Sweep
from pipelines.model import Lane, Owner
from pipelines.outcome import Skipped
from tests.builders import START, make_transcript
from tests.unit.flows.distilling import World, quote_everything
from workers.retry import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.model import Draft, Transcript

SWEEP = timedelta(seconds=5)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
OUTAGE, RETRY = OutagePolicy(), RetryPolicy()
POISON = "poison"
OVER = {"distilled", "done"}


class Provider:
    """Distills what it is asked, unless it is away; never what is poison."""

    def __init__(self) -> None:
        self.is_away = False
        self.calls: list[datetime] = []
        self.world = World(self.distill)
        clock = self.world.clock
        self.breaker = Breaker("model", ModelUnavailable, OUTAGE, clock)
        self.world.flow = replace(
            self.world.flow,
            judge=partial(judge, policy=RETRY),
            max_attempts=RETRY.max_attempts,
            may_ask=self.breaker.may_ask,
        )
        self.sweep = Sweep(self.world.stores, self.world.waker, clock)

    def distill(self, transcript: Transcript) -> list[Draft]:
        with self.breaker.asking():
            self.calls.append(self.world.clock.now())
            if self.is_away or any(POISON in it.content for it in transcript.messages):
                raise ModelUnavailable("500")
            return quote_everything(transcript)

    def push(self, *texts: str) -> list[Transcript]:
        items = [
            make_transcript(text, session=text, owner=Owner("acme", f"user of {text}"))
            for text in texts
        ]
        self.world.stores.accept(items, self.world.clock.now())
        return items

    def work(self, span: timedelta, until: Callable[[], bool] = lambda: False) -> None:
        """What a worker and beat do for so long: whoever was woken takes who is first in line."""
        ends_at = self.world.clock.now() + span
        while self.world.clock.now() < ends_at and not until():
            self.world.waker.receipts.clear()
            self.sweep.run()
            for _ in self.world.waker.receipts:
                while self.world.flow.run_next(Lane.INTERACTIVE).is_more:
                    pass
            self.world.clock.advance(SWEEP)

    def states(self, items: list[Transcript]) -> set[str]:
        return set(self.world.states(*items))


def test_model_that_is_away_for_hours_makes_no_dead_letter() -> None:
    """Nobody uses up attempts, the endpoint is asked twice a minute, and all is done soon after."""
    provider = Provider()
    first = provider.push("before")
    provider.work(MINUTE)
    provider.is_away = True
    items = provider.push(*[f"s{number}" for number in range(40)])

    provider.work(6 * HOUR)

    assert {"queued"} == provider.states(items)
    assert RETRY.max_attempts > max(provider.world.status(item).attempts for item in items)
    hour = [at for at in provider.calls if START + 4 * HOUR < at <= START + 5 * HOUR]
    assert 60 < len(hour) <= 120
    provider.is_away = False
    back_at = provider.world.clock.now()
    provider.work(HOUR, lambda: provider.states(items) <= OVER)
    assert timedelta(minutes=2) > provider.world.clock.now() - back_at
    assert provider.states(first) <= OVER


def test_transcript_that_is_alone_in_an_outage_is_no_dead_letter() -> None:
    """Also where workers that know nothing of the outage take their turns."""
    provider = Provider()
    provider.is_away = True
    items = provider.push("s1")
    for _ in range(12):
        provider.breaker = Breaker("model", ModelUnavailable, OUTAGE, provider.world.clock)
        provider.work(HOUR)

    assert {"queued"} == provider.states(items)


def test_transcript_that_is_never_answered_is_a_dead_letter_while_others_pass() -> None:
    """The server is there, so it is the transcript; and it holds nobody up."""
    provider = Provider()
    bad = provider.push(POISON)
    for number in range(60):
        good = provider.push(f"good-{number}")
        provider.work(2 * MINUTE)
        assert provider.states(good) <= OVER

    assert {"dead"} == provider.states(bad)
    assert RETRY.max_attempts == provider.world.status(*bad).attempts
    assert "ModelUnavailable" == provider.world.status(*bad).reason


def test_outage_without_end_is_a_dead_letter_after_days() -> None:
    """What cannot be done for a week is told as such."""
    provider = Provider()
    short = replace(OUTAGE, patience=HOUR)
    provider.breaker.policy = short
    provider.is_away = True
    items = provider.push("s1")

    provider.work(HOUR - MINUTE)
    assert {"queued"} == provider.states(items)
    provider.work(12 * HOUR, lambda: provider.states(items) == {"dead"})
    assert {"dead"} == provider.states(items)


def test_nobody_is_taken_out_of_the_line_while_the_model_is_away() -> None:
    """No claim, no write, and whoever is woken does not try again and again."""
    provider = Provider()
    provider.is_away = True
    provider.push(*[f"s{number}" for number in range(50)])
    provider.work(SWEEP)
    before = len(provider.calls)

    turn = provider.world.flow.run_next(Lane.INTERACTIVE)

    assert isinstance(turn.outcome, Skipped)
    assert not turn.is_more
    assert before == len(provider.calls)
