"""Runs of jobs in memory, behind one lock, under the same contract."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipelines.ports import JobReport, JobRun, RunState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class _Row:
    job: str
    slot: datetime
    started_at: datetime
    lease_until: datetime | None
    state: RunState = RunState.RUNNING
    fence: int = 1
    attempts: int = 1
    due_at: datetime | None = None
    ended_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    note: str | None = None
    position: str | None = None

    def is_claimable(self, now: datetime) -> bool:
        if self.state is RunState.RUNNING:
            return self.lease_until is None or self.lease_until <= now
        return self.due_at is not None and self.due_at <= now


class InMemoryJobRuns:
    """``JobRuns`` over a dictionary."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rows: dict[tuple[str, datetime], _Row] = {}

    def claim(self, job: str, slot: datetime, now: datetime, lease: timedelta) -> JobRun | None:
        with self._lock:
            row = self._rows.get((job, slot))
            if row is None:
                row = _Row(job, slot, now, now + lease)
            elif row.is_claimable(now):
                row = replace(
                    row,
                    state=RunState.RUNNING,
                    fence=row.fence + 1,
                    attempts=row.attempts + 1,
                    lease_until=now + lease,
                    due_at=None,
                )
            else:
                return None
            self._rows[job, slot] = row
            return JobRun(job, slot, row.fence, row.counts, row.position)

    def end(self, run: JobRun, counts: Mapping[str, int], note: str | None, now: datetime) -> bool:
        return self._write(run, state=RunState.DONE, ended_at=now, counts=counts, note=note)

    def put_off(self, run: JobRun, due_at: datetime, now: datetime) -> bool:
        return self._write(
            run,
            state=RunState.WAITING,
            ended_at=now,
            counts=run.counts,
            position=run.position,
            due_at=due_at,
        )

    def fail(self, run: JobRun, error: str, due_at: datetime, now: datetime) -> bool:
        return self._write(run, state=RunState.FAILED, ended_at=now, note=error, due_at=due_at)

    def forget(self, job: str, keep: int) -> int:
        with self._lock:
            slots = sorted((key for key in self._rows if key[0] == job), reverse=True)
            for key in slots[keep:]:
                del self._rows[key]
            return len(slots[keep:])

    def list_latest(self) -> list[JobReport]:
        with self._lock:
            latest = {key[0]: self._rows[key] for key in sorted(self._rows)}
            return [self._report(latest[job]) for job in sorted(latest)]

    def _report(self, row: _Row) -> JobReport:
        done = [
            each.ended_at
            for each in self._rows.values()
            if each.job == row.job and each.state is RunState.DONE and each.ended_at
        ]
        return JobReport(
            job=row.job,
            slot=row.slot,
            state=row.state,
            started_at=row.started_at,
            ended_at=row.ended_at,
            took=row.ended_at - row.started_at if row.ended_at else None,
            attempts=row.attempts,
            counts=row.counts,
            note=row.note,
            succeeded_at=max(done, default=None),
        )

    def _write(self, run: JobRun, **values: object) -> bool:
        with self._lock:
            row = self._rows.get((run.job, run.slot))
            if row is None or row.fence != run.fence:
                return False
            values["lease_until"] = None
            self._rows[run.job, run.slot] = replace(row, **values)  # type: ignore[arg-type]
            return True
