"""Routes about what runs by the clock. They are for operators; jobs go through all tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from config.schedule import JOBS, Job
from pipelines.errors import NotFound
from pipelines.outcome import Done, Skipped, Snoozed
from workers.callers import Operator
from workers.jobs import jobs_of

if TYPE_CHECKING:
    from datetime import datetime

    from fastapi import FastAPI

    from pipelines.flows.jobs import ScheduledJob
    from pipelines.outcome import Outcome
    from workers.container import Container


def add_job_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    jobs = jobs_of(container)

    @api.get("/v1/jobs")
    def list_jobs(caller: Operator) -> dict[str, Any]:
        del caller
        now = container.clock.now()
        return {"jobs": [job_view(found, now) for found in jobs.list_jobs()]}

    @api.post("/v1/jobs/{job}:run")
    def run(job: str, caller: Operator) -> dict[str, Any]:
        del caller
        if job not in JOBS:
            raise NotFound(f"no job is called that; there are {', '.join(JOBS)}")
        return turn_view(jobs.run(Job(job)))


def job_view(found: ScheduledJob, now: datetime) -> dict[str, Any]:
    """A job with its latest run."""
    latest = found.latest
    return {
        "job": found.job.value,
        "purpose": found.policy.purpose,
        "interval_seconds": found.policy.interval.total_seconds(),
        "next_at": found.next_at(now),
        "state": latest.state.value if latest else None,
        "started_at": latest.started_at if latest else None,
        "succeeded_at": latest.succeeded_at if latest else None,
        "took_seconds": latest.took.total_seconds() if latest and latest.took else None,
        "attempts": latest.attempts if latest else 0,
        "counts": latest.counts if latest else {},
        "note": latest.note if latest else None,
    }


def turn_view(outcome: Outcome) -> dict[str, Any]:
    """What a turn came to; a ``waiting`` job has more to do after ``delay_seconds``."""
    match outcome:
        case Done(counts):
            return {"state": "done", "counts": counts, "note": None, "delay_seconds": None}
        case Skipped(reason):
            return {"state": "skipped", "counts": {}, "note": reason, "delay_seconds": None}
        case Snoozed(delay, reason, counts):
            seconds = delay.total_seconds()
            return {"state": "waiting", "counts": counts, "note": reason, "delay_seconds": seconds}
