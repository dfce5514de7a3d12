"""What each job does, on a connected container."""

from __future__ import annotations

from typing import TYPE_CHECKING

from config.schedule import Job
from pipelines.adapters.postgres.jobs import PostgresJobRuns
from pipelines.flows.jobs import RunJobs
from workers.langgraph import make_clean_threads

if TYPE_CHECKING:
    from pipelines.flows.jobs import Turn
    from workers.container import Container


def jobs_of(container: Container) -> RunJobs:
    """The jobs of this installation."""
    flows: dict[Job, Turn] = {
        Job.SWEEP: lambda _: container.sweep.run(),
        Job.SHARE: lambda _: container.share.run(),
        Job.ERASE: lambda _: container.erase.run(),
        Job.TEND_INDEX: lambda _: container.upkeep.tend.run(),
        Job.COUNT_USES: lambda _: container.lifecycle.count_uses.run(),
        Job.DECAY: container.lifecycle.decay.run,
        Job.PURGE: lambda _: container.lifecycle.purge.run(),
        Job.CLEAN_CHECKPOINTS: lambda _: container.checkpointing.clean.run(),
        Job.LEARN_PROCEDURES: lambda _: container.learn_procedures.run(),
        Job.SNAPSHOT_EVENTS: container.record.snapshots.run,
    }
    if (clean_threads := make_clean_threads(container.settings)) is not None:
        flows[Job.CLEAN_LANGGRAPH] = lambda _: clean_threads.run()
    if (batches := container.batches) is not None:
        flows[Job.BATCHES] = lambda _: batches.run()
    if (archiving := container.record.archiving) is not None:
        flows[Job.ARCHIVE] = archiving.move.run
    runs = PostgresJobRuns(container.database)
    return RunJobs(runs, flows, container.clock, container.policies.schedule)
