"""What each job does, on a connected container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.schedule import Job
from pipelines.adapters.postgres.jobs import PostgresJobRuns
from pipelines.flows.jobs import RunJobs
from workers.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.outcome import Outcome
    from workers.container import Container


def jobs_of(container: Container) -> RunJobs:
    """The jobs of this installation."""
    flows: dict[Job, Callable[[], Outcome]] = {
        Job.SWEEP: container.sweep.run,
        Job.SHARE: container.share.run,
        Job.ERASE: container.erase.run,
        Job.TEND_INDEX: container.upkeep.tend.run,
    }
    if container.batches is not None:
        flows[Job.BATCHES] = container.batches.run
    runs = PostgresJobRuns(container.database)
    return RunJobs(runs, flows, SystemClock(), container.policies.schedule)
