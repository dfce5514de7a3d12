"""Runs of jobs keep their contract, in memory and on PostgreSQL."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pipelines.adapters.postgres import Database, PostgresJobRuns
from pipelines.ports import JobReport, RunState
from pipelines.testing.jobs import InMemoryJobRuns
from tests.builders import START

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.ports import JobRun, JobRuns

LEASE = timedelta(minutes=5)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


@pytest.fixture(params=["memory", "postgres"])
def runs(request: pytest.FixtureRequest) -> Iterator[JobRuns]:
    if request.param == "memory":
        yield InMemoryJobRuns()
        return
    database = Database(request.getfixturevalue("database_url"))
    yield PostgresJobRuns(database)
    database.close()


def claim(runs: JobRuns, job: str = "decay") -> JobRun:
    run = runs.claim(job, START, START, LEASE)
    assert run is not None
    return run


def test_slot_is_claimed_by_one_of_many_at_once(runs: JobRuns) -> None:
    """However many fire the job at the same moment."""
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: runs.claim("decay", START, START, LEASE), range(16)))

    assert 1 == len([run for run in found if run is not None])


def test_slot_that_is_done_is_never_claimed_again(runs: JobRuns) -> None:
    """Another slot and another job are their own."""
    runs.end(claim(runs), {"evicted": 3}, None, START)

    assert runs.claim("decay", START, START + DAY, LEASE) is None
    assert runs.claim("decay", START + DAY, START + DAY, LEASE) is not None
    assert runs.claim("purge", START, START + DAY, LEASE) is not None


def test_run_is_taken_over_when_its_lease_is_over(runs: JobRuns) -> None:
    """Whoever had it is refused from then on."""
    first = claim(runs)

    assert runs.claim("decay", START, START + LEASE - SECOND, LEASE) is None
    second = runs.claim("decay", START, START + LEASE, LEASE)

    assert replace(first, fence=first.fence + 1) == second
    assert not runs.end(first, {"evicted": 1}, None, START + LEASE)
    assert not runs.fail(first, "late", START, START + LEASE)
    assert second is not None
    assert runs.end(second, {"evicted": 2}, None, START + LEASE)


def test_run_that_was_put_off_goes_on_where_it_was_when_it_is_due(runs: JobRuns) -> None:
    """Not before."""
    run = replace(claim(runs), counts={"evicted": 500}, position="page 7")
    runs.put_off(run, START + SECOND, START)

    assert runs.claim("decay", START, START, LEASE) is None
    again = runs.claim("decay", START, START + SECOND, LEASE)

    assert again is not None
    assert ({"evicted": 500}, "page 7") == (again.counts, again.position)


def test_run_that_failed_is_tried_again_when_it_is_due(runs: JobRuns) -> None:
    """The report says what failed."""
    runs.fail(claim(runs), "StoreUnavailable: away", START + SECOND, START)

    assert [(RunState.FAILED, "StoreUnavailable: away")] == [
        (report.state, report.note) for report in runs.list_latest()
    ]
    assert runs.claim("decay", START, START, LEASE) is None
    assert runs.claim("decay", START, START + SECOND, LEASE) is not None


def test_report_tells_the_latest_run_of_each_job_and_its_last_success(runs: JobRuns) -> None:
    """A run that is under way has no end yet."""
    runs.end(claim(runs), {"evicted": 3}, "all gone", START + SECOND)
    runs.claim("decay", START + DAY, START + DAY, LEASE)
    runs.end(claim(runs, "purge"), {}, None, START + 2 * SECOND)

    decay = JobReport(
        job="decay",
        slot=START + DAY,
        state=RunState.RUNNING,
        started_at=START + DAY,
        ended_at=None,
        took=None,
        attempts=1,
        counts={},
        note=None,
        succeeded_at=START + SECOND,
    )
    purge = JobReport(
        job="purge",
        slot=START,
        state=RunState.DONE,
        started_at=START,
        ended_at=START + 2 * SECOND,
        took=2 * SECOND,
        attempts=1,
        counts={},
        note=None,
        succeeded_at=START + 2 * SECOND,
    )
    assert [decay, purge] == runs.list_latest()


def test_only_the_newest_runs_of_a_job_are_remembered(runs: JobRuns) -> None:
    """Those of other jobs stay."""
    for number in range(5):
        runs.claim("sweep", START + number * SECOND, START, LEASE)
    claim(runs)

    assert 3 == runs.forget("sweep", 2)
    assert 0 == runs.forget("sweep", 2)
    assert ["decay", "sweep"] == [report.job for report in runs.list_latest()]
    assert runs.claim("sweep", START + 4 * SECOND, START, LEASE) is None
    assert runs.claim("sweep", START, START, LEASE) is not None
