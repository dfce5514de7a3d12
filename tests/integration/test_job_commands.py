"""``memstill jobs`` and ``memstill run`` over the API."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from config.schedule import JOBS, Job
from memstill_client import AsyncMemstill, NotFound
from pipelines.adapters.postgres import PostgresJobRuns
from pipelines.flows.jobs import slot_of
from tests.integration.serving import serve
from workers.app import make_app
from workers.cli import app
from workers.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from typer.testing import Result

    from memstill_client.jobs import JobStatus, JobTurn
    from tests.integration.serving import Served


@pytest.fixture
def served(database_url: str, redis_url: str, key_prefix: str) -> Iterator[Served]:
    with serve(database_url, redis_url, key_prefix, "off") as running:
        yield running


def memstill(served: Served, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--api", served.url], env={"COLUMNS": "200"})


def test_job_is_run_by_hand_and_shown_with_what_came_of_it(served: Served) -> None:
    """A second run in the same slot does nothing, and says so."""
    first, second = memstill(served, "run", "share"), memstill(served, "run", "share")
    shown = memstill(served, "jobs")

    assert "share: 0 proposed, 0 updated, 0 withdrawn" in first.stdout
    assert "share: this slot was run already, or is under way" in second.stdout
    assert (0, 0, 0) == (first.exit_code, second.exit_code, shown.exit_code)
    line = next(line for line in shown.stdout.splitlines() if line.startswith("share"))
    assert "done" in line
    assert "1 h" in line
    never = next(line for line in shown.stdout.splitlines() if line.startswith("tend-index"))
    assert "never ran" in never


def test_job_that_failed_is_seen_in_the_table_and_the_exit_code(served: Served) -> None:
    """An operator's script need not read the table."""
    runs, now = PostgresJobRuns(served.container.database), SystemClock().now()
    run = runs.claim("share", slot_of(now, JOBS[Job.SHARE].interval), now, JOBS[Job.SHARE].lease)
    assert run is not None
    runs.fail(run, "StoreUnavailable: away", now + JOBS[Job.SHARE].retry, now)

    shown = memstill(served, "jobs")

    assert 1 == shown.exit_code
    assert "StoreUnavailable: away" in " ".join(shown.stdout.split())


def test_job_that_nobody_knows_is_refused_with_those_there_are(served: Served) -> None:
    """Whether by hand or by a program."""

    async def ask() -> tuple[JobTurn, tuple[JobStatus, ...]]:
        async with AsyncMemstill(api_url=served.url, redis_url="") as client:
            with pytest.raises(NotFound, match="there are sweep, share"):
                await client.run_job("spring-cleaning")
            return await client.run_job("sweep"), await client.jobs()

    turn, jobs = asyncio.run(ask())

    assert "done" == turn.state
    assert served.container.policies.schedule.jobs.keys() == {job.job for job in jobs}


def test_beat_fires_every_job_so_often_that_no_slot_is_missed(served: Served) -> None:
    """A job of a day is looked at each minute; a slot decides whether it is run."""
    entries = make_app(served.container.settings).conf.beat_schedule

    assert set(served.container.policies.schedule.jobs) == set(entries)
    assert all(entry["schedule"] <= 60 for entry in entries.values())
