"""What runs by the clock: every job with its interval, in one place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_settings import NoDecode

from config.budgets import read_json


class Job(StrEnum):
    """A job by the name that ``memstill run`` takes.

    Running one twice, or at the same time in two places, does what running it once does.
    """

    SWEEP = "sweep"
    SHARE = "share"
    ERASE = "erase"
    TEND_INDEX = "tend-index"
    BATCHES = "batches"
    COUNT_USES = "count-uses"
    DECAY = "decay"
    PURGE = "purge"
    CLEAN_CHECKPOINTS = "clean-checkpoints"
    LEARN_PROCEDURES = "learn-procedures"
    CLEAN_LANGGRAPH = "clean-langgraph"
    SNAPSHOT_EVENTS = "snapshot-events"
    ARCHIVE = "archive"


@dataclass(frozen=True, slots=True)
class JobPolicy:
    """How a job is repeated.

    Attributes:
        interval: One run in each; its slots are counted from the epoch in UTC, so that every
            host means the same slot. A slot in which nothing ran is not made up for: the next
            run does what was left.
        purpose: What it is for, in half a sentence.
        lease: A run that was not heard of for so long is taken over by another worker.
        retry: A run that failed is tried again after this, in its slot.
    """

    interval: timedelta
    purpose: str
    lease: timedelta = timedelta(minutes=5)
    retry: timedelta = timedelta(minutes=1)


_MINUTE, _DAY = timedelta(minutes=1), timedelta(days=1)

JOBS: Mapping[Job, JobPolicy] = MappingProxyType(
    {
        # Work stands still while its wake-up is lost: nobody shall wait for this one.
        Job.SWEEP: JobPolicy(
            timedelta(seconds=5),
            "wakes whatever lies due",
            lease=timedelta(seconds=15),
            retry=timedelta(seconds=1),
        ),
        Job.SHARE: JobPolicy(timedelta(hours=1), "proposes what many users say alike"),
        Job.ERASE: JobPolicy(
            timedelta(seconds=30), "goes on with erasures and proves them", lease=_MINUTE
        ),
        Job.TEND_INDEX: JobPolicy(
            _MINUTE, "brings a rebuild on, and compares the index with the rows daily"
        ),
        Job.BATCHES: JobPolicy(_MINUTE, "hands in and collects batches of model calls"),
        Job.COUNT_USES: JobPolicy(_MINUTE, "writes down how often memories were recalled"),
        Job.DECAY: JobPolicy(_DAY, "evicts memories that have faded"),
        Job.PURGE: JobPolicy(_DAY, "deletes what retention says has expired"),
        Job.CLEAN_CHECKPOINTS: JobPolicy(
            timedelta(hours=1), "deletes checkpoints that have had their time"
        ),
        Job.LEARN_PROCEDURES: JobPolicy(timedelta(hours=1), "learns procedures from results"),
        Job.CLEAN_LANGGRAPH: JobPolicy(timedelta(hours=1), "cleans the tables of LangGraph"),
        Job.SNAPSHOT_EVENTS: JobPolicy(_DAY, "sums up long event logs"),
        Job.ARCHIVE: JobPolicy(_DAY, "moves old events and sessions to the archive"),
    }
)


CRON_JOBS = frozenset(
    {
        Job.SHARE,
        Job.DECAY,
        Job.PURGE,
        Job.CLEAN_CHECKPOINTS,
        Job.LEARN_PROCEDURES,
        Job.CLEAN_LANGGRAPH,
        Job.SNAPSHOT_EVENTS,
        Job.ARCHIVE,
    }
)
"""What nobody waits for: beat may leave it to CronJobs (``MEMSTILL_BEAT=frequent``)."""


@dataclass(frozen=True, slots=True)
class SchedulePolicy:
    """Which jobs run, and how often.

    Attributes:
        jobs: Those that this installation runs.
        history: Runs of each job that are remembered.
        longest_look: Whoever fires jobs asks at least this often whether one is due, so that a
            slot is not missed because a host slept.
    """

    jobs: Mapping[Job, JobPolicy] = field(default_factory=lambda: JOBS)
    history: int = 100
    longest_look: timedelta = _MINUTE

    def with_intervals(self, seconds: Mapping[Job, float]) -> SchedulePolicy:
        """The same with other intervals for some jobs."""
        changed = {
            job: replace(how, interval=timedelta(seconds=seconds[job])) if job in seconds else how
            for job, how in self.jobs.items()
        }
        return replace(self, jobs=changed)

    def without(self, *jobs: Job) -> SchedulePolicy:
        """The same without some jobs."""
        kept = {job: policy for job, policy in self.jobs.items() if job not in jobs}
        return replace(self, jobs=kept)


_YEAR_SECONDS = 366 * 86_400
_Seconds = Annotated[float, Field(ge=0.01, le=_YEAR_SECONDS)]
IntervalsSetting = Annotated[Mapping[Job, _Seconds], NoDecode, BeforeValidator(read_json)]
"""Seconds by job, from a hundredth to those of a year, as JSON: ``{"decay": 3600}``."""
