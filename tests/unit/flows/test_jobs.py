"""Jobs run once for each slot, whoever fires them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.schedule import Job, SchedulePolicy
from pipelines.errors import InputError, StoreUnavailable
from pipelines.flows.jobs import NOT_DUE, RunJobs, slot_of
from pipelines.outcome import Done, Skipped, Snoozed
from pipelines.testing.jobs import InMemoryJobRuns
from pipelines.testing.surroundings import ManualClock
from tests.builders import START

if TYPE_CHECKING:
    from pipelines.outcome import Outcome

POLICY = SchedulePolicy()
INTERVAL, MINUTE = POLICY.jobs[Job.SHARE].interval, timedelta(minutes=1)


class World:
    """One job alone, which says what it is told to say."""

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.outcomes = list(outcomes)
        self.runs, self.clock = InMemoryJobRuns(), ManualClock(START)
        self.positions: list[str | None] = []
        self.jobs = RunJobs(self.runs, {Job.SHARE: self._work}, self.clock, POLICY)

    def fire(self) -> Outcome:
        return self.jobs.run(Job.SHARE)

    def next_at(self) -> datetime:
        return self.jobs.list_jobs()[0].next_at(self.clock.now())

    def _work(self, position: str | None) -> Outcome:
        self.positions.append(position)
        found = self.outcomes.pop(0) if self.outcomes else Done()
        if isinstance(found, Exception):
            raise found
        return found


def test_job_that_is_fired_twice_in_a_slot_runs_once() -> None:
    """In the next slot it runs again."""
    world = World(Done({"evicted": 3}))

    assert Done({"evicted": 3}) == world.fire()
    assert Skipped(NOT_DUE) == world.fire()
    world.clock.advance(INTERVAL)

    assert Done() == world.fire()
    assert 2 == len(world.positions)


def test_job_that_nobody_fired_for_a_week_runs_once() -> None:
    """What was left is done by one run."""
    world = World()
    world.fire()
    world.clock.advance(168 * INTERVAL)

    assert [Done(), Skipped(NOT_DUE)] == [world.fire(), world.fire()]
    assert 2 == len(world.positions)


def test_job_with_more_to_do_goes_on_where_it_was_and_counts_all_turns() -> None:
    """Each turn is bounded; the run ends with the last one."""
    world = World(
        Snoozed(timedelta(), "more", {"evicted": 500}, "7"), Done({"evicted": 20, "spared": 1})
    )

    assert Snoozed(timedelta(), "more", {"evicted": 500}, "7") == world.fire()
    assert Done({"evicted": 520, "spared": 1}) == world.fire()
    assert [None, "7"] == world.positions
    assert Skipped(NOT_DUE) == world.fire()


def test_job_that_failed_is_tried_again_in_its_slot_after_a_pause() -> None:
    """The error is said at once, and in the report."""
    world = World(StoreUnavailable("away"))

    with pytest.raises(StoreUnavailable):
        world.fire()
    assert Skipped(NOT_DUE) == world.fire()
    assert "StoreUnavailable: away" == world.runs.list_latest()[0].note
    world.clock.advance(POLICY.jobs[Job.SHARE].retry)

    assert Done() == world.fire()


def test_job_that_had_nothing_to_do_says_why_in_the_report() -> None:
    """It is done with its slot all the same."""
    world = World(Skipped("nothing has faded"))

    assert Skipped("nothing has faded") == world.fire()
    assert "nothing has faded" == world.runs.list_latest()[0].note
    assert Skipped(NOT_DUE) == world.fire()


def test_job_is_due_until_its_slot_is_done() -> None:
    """Then with the beginning of the next one."""
    world = World(StoreUnavailable("away"))
    slot = slot_of(START, INTERVAL)
    assert slot == world.next_at()

    with pytest.raises(StoreUnavailable):
        world.fire()
    assert slot == world.next_at()
    world.clock.advance(MINUTE)
    world.fire()

    assert slot + INTERVAL == world.next_at()


def test_job_that_is_not_run_here_is_refused_by_name() -> None:
    """Batches are off where there is no model."""
    with pytest.raises(InputError, match="batches is not run"):
        World().jobs.run(Job.BATCHES)


@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - the bounds of hypothesis are naive
    st.timedeltas(timedelta(milliseconds=100), timedelta(days=30)),
)
def test_slot_begins_before_its_moments_and_is_as_long_as_the_interval(
    now: datetime, interval: timedelta
) -> None:
    """Every moment has one slot, whichever host asks."""
    slot = slot_of(now, interval)

    assert slot <= now < slot + interval
    assert slot == slot_of(slot, interval)


def test_job_with_a_bug_is_seen_as_failed_and_tried_again() -> None:
    """Nobody waits for its lease, and nobody takes it for running."""
    world = World(ZeroDivisionError("a bug"), Done({"evicted": 3}))

    with pytest.raises(ZeroDivisionError):
        world.fire()
    assert "ZeroDivisionError: a bug" == world.runs.list_latest()[0].note
    world.clock.advance(MINUTE)

    assert Done({"evicted": 3}) == world.fire()
