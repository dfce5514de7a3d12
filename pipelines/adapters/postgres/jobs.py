"""Runs of jobs: a row for each slot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.tables import job_runs
from pipelines.ports import JobReport, JobRun, RunState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement, Row

    from pipelines.adapters.postgres.database import Database


class PostgresJobRuns:
    """``JobRuns`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, job: str, slot: datetime, now: datetime, lease: timedelta) -> JobRun | None:
        fresh = {
            "job": job,
            "slot": slot,
            "state": RunState.RUNNING.value,
            "lease_until": now + lease,
            "started_at": now,
        }
        # The first one inserts; whoever comes later gets the row only if it is to be gone on with.
        statement = (
            upsert(job_runs)
            .values(fresh)
            .on_conflict_do_update(
                index_elements=[job_runs.c.job, job_runs.c.slot],
                set_={
                    "state": RunState.RUNNING.value,
                    "fence": job_runs.c.fence + 1,
                    "attempts": job_runs.c.attempts + 1,
                    "lease_until": now + lease,
                    "due_at": None,
                },
                where=_is_claimable(now),
            )
            .returning(job_runs.c.fence, job_runs.c.counts, job_runs.c.position)
        )
        with self._database.transaction() as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else JobRun(job, slot, *row)

    def end(self, run: JobRun, counts: Mapping[str, int], note: str | None, now: datetime) -> bool:
        return self._write(run, RunState.DONE, now, counts=dict(counts), note=note)

    def put_off(self, run: JobRun, due_at: datetime, now: datetime) -> bool:
        values = {"counts": dict(run.counts), "position": run.position, "due_at": due_at}
        return self._write(run, RunState.WAITING, now, **values)

    def fail(self, run: JobRun, error: str, due_at: datetime, now: datetime) -> bool:
        return self._write(run, RunState.FAILED, now, note=error, due_at=due_at)

    def forget(self, job: str, keep: int) -> int:
        oldest_kept = (
            select(job_runs.c.slot)
            .where(job_runs.c.job == job)
            .order_by(job_runs.c.slot.desc())
            .offset(keep - 1)
            .limit(1)
            .scalar_subquery()
        )
        statement = delete(job_runs).where(job_runs.c.job == job, job_runs.c.slot < oldest_kept)
        with self._database.transaction() as connection:
            return connection.execute(statement).rowcount

    def list_latest(self) -> list[JobReport]:
        latest = (
            select(job_runs)
            .ext(distinct_on(job_runs.c.job))
            .order_by(job_runs.c.job, job_runs.c.slot.desc())
        )
        succeeded = (
            select(job_runs.c.job, func.max(job_runs.c.ended_at))
            .where(job_runs.c.state == RunState.DONE.value)
            .group_by(job_runs.c.job)
        )
        with self._database.transaction() as connection:
            done_at = {row[0]: row[1] for row in connection.execute(succeeded)}
            return [_read(row, done_at.get(row.job)) for row in connection.execute(latest)]

    def _write(self, run: JobRun, state: RunState, now: datetime, **values: object) -> bool:
        statement = (
            update(job_runs)
            .where(
                job_runs.c.job == run.job,
                job_runs.c.slot == run.slot,
                job_runs.c.fence == run.fence,
            )
            .values(state=state.value, lease_until=None, ended_at=now, **values)
        )
        with self._database.transaction() as connection:
            return connection.execute(statement).rowcount == 1


def _is_claimable(now: datetime) -> ColumnElement[bool]:
    is_silent = and_(
        job_runs.c.state == RunState.RUNNING.value,
        or_(job_runs.c.lease_until.is_(None), job_runs.c.lease_until <= now),
    )
    is_due = and_(
        job_runs.c.state.in_([RunState.WAITING.value, RunState.FAILED.value]),
        job_runs.c.due_at <= now,
    )
    return or_(is_silent, is_due)


def _read(row: Row[Any], succeeded_at: datetime | None) -> JobReport:
    return JobReport(
        job=row.job,
        slot=row.slot,
        state=RunState(row.state),
        started_at=row.started_at,
        ended_at=row.ended_at,
        took=row.ended_at - row.started_at if row.ended_at else None,
        attempts=row.attempts,
        counts=row.counts,
        note=row.note,
        succeeded_at=succeeded_at,
    )
