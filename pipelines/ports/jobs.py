"""Runs of jobs: which slot was run, by whom, and with what result."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta


class RunState(StrEnum):
    """How a run stands: a ``waiting`` one has more to do, a ``failed`` one is tried again."""

    RUNNING = "running"
    WAITING = "waiting"
    FAILED = "failed"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class JobRun:
    """The run of one slot, leased to whoever has this value.

    Attributes:
        slot: The beginning of the interval that it is for.
        fence: Must still be the row's when anything is written about the run.
        counts: What earlier turns of the run did.
        position: Where the turn before this one wants it gone on; None for the first turn.
    """

    job: str
    slot: datetime
    fence: int
    counts: Mapping[str, int] = field(default_factory=dict)
    position: str | None = None


@dataclass(frozen=True, slots=True)
class JobReport:
    """The latest run of a job.

    Attributes:
        ended_at: None while it runs, or if whoever ran it was not heard of again.
        took: From its first turn to the end of its latest one.
        note: Why there was nothing to do, or what failed.
        succeeded_at: When a run of the job was done last; None if none was.
    """

    job: str
    slot: datetime
    state: RunState
    started_at: datetime
    ended_at: datetime | None
    took: timedelta | None
    attempts: int
    counts: Mapping[str, int]
    note: str | None
    succeeded_at: datetime | None


class JobRuns(Protocol):
    """One row for each run: its key is what keeps a slot from being run twice."""

    def claim(self, job: str, slot: datetime, now: datetime, lease: timedelta) -> JobRun | None:
        """Lease the run of a slot; None if it is done, is not due again yet, or somebody has it.

        A run whose lease is over is leased again.
        """
        ...

    def end(self, run: JobRun, counts: Mapping[str, int], note: str | None, now: datetime) -> bool:
        """The slot is done; False if the run was taken over meanwhile."""
        ...

    def put_off(self, run: JobRun, due_at: datetime, now: datetime) -> bool:
        """There is more to do, at ``due_at``; False if the run was taken over meanwhile.

        ``run`` says what was done so far, and where to go on.
        """
        ...

    def fail(self, run: JobRun, error: str, due_at: datetime, now: datetime) -> bool:
        """It is tried again at ``due_at``; False if the run was taken over meanwhile."""
        ...

    def forget(self, job: str, keep: int) -> int:
        """Delete all but the newest runs of a job; gives how many."""
        ...

    def list_latest(self) -> list[JobReport]:
        """The latest run of each job, by name."""
        ...
