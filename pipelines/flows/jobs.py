"""Running jobs by the clock: whoever fires one, a slot is run once.

Beat, a CronJob and a person are interchangeable, and any of them may fire twice: the row of the
slot decides. What is fired too late, or not at all for a week, runs once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import InputError, MemstillError
from pipelines.outcome import Done, Outcome, Skipped, Snoozed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from config.schedule import Job, JobPolicy, SchedulePolicy
    from pipelines.ports import Clock, JobReport, JobRun, JobRuns

log = structlog.get_logger(__name__)

Turn = Callable[[str | None], Outcome]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOT_DUE = "this slot was run already, or is under way"


def slot_of(now: datetime, interval: timedelta) -> datetime:
    """The beginning of the interval that ``now`` is in, counted from the epoch."""
    return _EPOCH + (now - _EPOCH) // interval * interval


@dataclass(frozen=True, slots=True)
class ScheduledJob:
    """A job of the registry, and its latest run; None if it never ran."""

    job: Job
    policy: JobPolicy
    latest: JobReport | None

    def next_at(self, now: datetime) -> datetime:
        """When it is due: in this slot unless it is done, else in the next one."""
        slot = slot_of(now, self.policy.interval)
        is_done = self.latest is not None and self.latest.slot >= slot and self._has_ended
        return slot + self.policy.interval if is_done else slot

    @property
    def _has_ended(self) -> bool:
        return self.latest is not None and self.latest.state.value == "done"


@dataclass(frozen=True, slots=True)
class RunJobs:
    """Runs jobs, each slot once.

    Attributes:
        flows: What each job does: one turn of it, bounded in time. ``Snoozed`` says that more is
            left for another turn, which is told the position.
    """

    runs: JobRuns
    flows: Mapping[Job, Turn]
    clock: Clock
    policy: SchedulePolicy

    def run(self, job: Job) -> Outcome:
        """Do one turn of what is due of a job.

        Raises:
            InputError: This installation does not run it.
            MemstillError: It failed, and is tried again by itself.
        """
        if job not in self.flows or job not in self.policy.jobs:
            raise InputError("job", f"{job} is not run by this installation")
        how, now = self.policy.jobs[job], self.clock.now()
        run = self.runs.claim(job, slot_of(now, how.interval), now, how.lease)
        if run is None:
            return Skipped(NOT_DUE)
        try:
            outcome = self.flows[job](run.position)
        except Exception as error:
            self._fail(run, how, error)
            raise
        return self._note(run, outcome)

    def list_jobs(self) -> list[ScheduledJob]:
        """What runs by the clock here, in the order of the registry."""
        latest = {report.job: report for report in self.runs.list_latest()}
        return [
            ScheduledJob(job, policy, latest.get(job))
            for job, policy in self.policy.jobs.items()
            if job in self.flows
        ]

    def _note(self, run: JobRun, outcome: Outcome) -> Outcome:
        now = self.clock.now()
        match outcome:
            case Done(counts):
                total = _add(run.counts, counts)
                self.runs.end(run, total, None, now)
                self.runs.forget(run.job, self.policy.history)
                return Done(total)
            case Skipped(reason):
                self.runs.end(run, run.counts, reason, now)
                self.runs.forget(run.job, self.policy.history)
            case Snoozed(delay, reason, counts, position):
                total = _add(run.counts, counts)
                self.runs.put_off(replace(run, counts=total, position=position), now + delay, now)
                return Snoozed(delay, reason, total, position)
        return outcome

    def _fail(self, run: JobRun, how: JobPolicy, error: Exception) -> None:
        now = self.clock.now()
        note = f"{type(error).__name__}: {error}"
        log.warning("job_failed", job=run.job, error=note)
        try:
            self.runs.fail(run, note, now + how.retry, now)
        except MemstillError as lost:
            # The store is what failed: the lease runs out.
            log.warning("job_left", job=run.job, error=type(lost).__name__)


def _add(before: Mapping[str, int], now: Mapping[str, int]) -> dict[str, int]:
    return dict(Counter(before) + Counter(now)) if before else dict(now)
