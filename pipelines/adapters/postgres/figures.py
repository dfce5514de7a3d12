"""What only the database knows of how the work gets on, in figures, for whoever watches.

Each figure is read along an index, and none costs more the longer a backlog is: what is counted
is counted up to ``MAX_COUNTED``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Select, func, select, text, true

from pipelines.adapters.postgres.arrays import is_named
from pipelines.adapters.postgres.database import Database
from pipelines.adapters.postgres.indexed import is_indexed
from pipelines.adapters.postgres.parking import WAITING_STATES
from pipelines.adapters.postgres.pulse import MAX_COUNTED, count_dead, count_overdue
from pipelines.adapters.postgres.tables import job_runs, memories, outbox, owners, transcripts
from pipelines.model import Lane, MemoryState, TranscriptState
from pipelines.ports import RunState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement

DISTILL, BACKFILL, CONSOLIDATE, PROJECT = "distill", "backfill", "consolidate", "project"
# What is known and can be found; what only the tables hold is history, or has faded.
STRUCTURED, SEMANTIC = "structured", "semantic"

_STATISTICS = text("""
    SELECT c.reltuples, s.attname, s.null_frac, s.most_common_vals::text::text[] AS common,
        s.most_common_freqs AS shares
    FROM pg_class c LEFT JOIN pg_stats s ON s.schemaname = current_schema()
        AND s.tablename = 'memories' AND s.attname IN ('scope', 'state', 'evicted_at')
    WHERE c.oid = 'memories'::regclass
""")


@dataclass(frozen=True, slots=True)
class WorkFigures:
    """How one kind of work stands.

    Attributes:
        due: Pieces that nobody holds and that could be taken up now.
        leased: Pieces that a worker holds.
        age_seconds: How long the piece has been due that is longest; 0 if none is.
        lease_ended_seconds: How long ago the oldest lease ran out, negative while it runs; None
            if nothing is held.
    """

    due: int = 0
    leased: int = 0
    age_seconds: float = 0.0
    lease_ended_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """All of it, at one moment.

    Attributes:
        work: By kind.
        delayed: Transcripts that wait for their time, by lane.
        parked: Of those, the ones that wait for a budget.
        entries: Memories by scope and layer: exact as long as they are few, beyond that by the
            statistics that PostgreSQL keeps of the table.
        job_ages: Seconds since each job last succeeded.
    """

    work: Mapping[str, WorkFigures]
    delayed: int = 0
    parked: int = 0
    dead: int = 0
    overdue_erasures: int = 0
    entries: Mapping[tuple[str, str], int] = field(default_factory=dict)
    job_ages: Mapping[str, float] = field(default_factory=dict)


class PostgresFigures:
    """Asks over a connection of its own, which it gives back: nothing that hangs stays open."""

    def __init__(self, url: str, overdue_after: timedelta) -> None:
        self._database = Database(url, pool_size=1, connect_seconds=2, statement_ms=1_500)
        self._overdue_after = overdue_after

    def read(self, now: datetime) -> Figures:
        """Look now.

        Raises:
            StoreUnavailable: It does not answer.
            StoreRefused: It has not got the tables.
        """
        try:
            with self._database.transaction() as connection:
                delayed, parked = _count_delayed(connection, now)
                return Figures(
                    work=_work(connection, now),
                    delayed=delayed,
                    parked=parked,
                    dead=count_dead(connection),
                    overdue_erasures=count_overdue(connection, now - self._overdue_after),
                    entries=count_entries(connection),
                    job_ages=_job_ages(connection, now),
                )
        finally:
            self._database.close()


def _work(connection: Connection, now: datetime) -> dict[str, WorkFigures]:
    held = _held_transcripts(connection, now)
    return {
        DISTILL: _transcripts(connection, Lane.INTERACTIVE, held, now),
        BACKFILL: _transcripts(connection, Lane.BACKFILL, held, now),
        CONSOLIDATE: _leasable(connection, due_owners(now), now),
        PROJECT: _leasable(connection, due_outbox(now), now),
    }


# ---- transcripts ----------------------------------------------------------------------------


def due_transcripts(lane: Lane, now: datetime) -> Select[tuple[datetime]]:
    """When those became due that wait in a lane, the oldest first."""
    return (
        select(transcripts.c.due_at)
        .where(
            transcripts.c.lane == lane.value,
            is_named(transcripts.c.state, *WAITING_STATES),
            transcripts.c.due_at <= now,
        )
        .order_by(transcripts.c.due_at)
        .limit(MAX_COUNTED)
    )


def held_transcripts() -> Select[tuple[str, datetime | None]]:
    """Lanes and leases of those that are being distilled."""
    return select(transcripts.c.lane, transcripts.c.lease_until).where(
        is_named(transcripts.c.state, TranscriptState.DISTILLING.value)
    )


def delayed_transcripts(now: datetime) -> Select[tuple[str]]:
    """The states of those whose time has not come."""
    return (
        select(transcripts.c.state)
        .where(
            transcripts.c.lane.in_([lane.value for lane in Lane]),
            is_named(transcripts.c.state, *WAITING_STATES),
            transcripts.c.due_at > now,
        )
        .limit(MAX_COUNTED)
    )


def _held_transcripts(connection: Connection, now: datetime) -> dict[str, tuple[int, float | None]]:
    leased = held_transcripts().limit(MAX_COUNTED).subquery()
    statement = select(leased.c.lane, func.count(), func.min(leased.c.lease_until)).group_by(
        leased.c.lane
    )
    rows = connection.execute(statement)
    return {lane: (count, _since(until, now)) for lane, count, until in rows}


def _transcripts(
    connection: Connection,
    lane: Lane,
    held: Mapping[str, tuple[int, float | None]],
    now: datetime,
) -> WorkFigures:
    due = due_transcripts(lane, now).subquery()
    count, oldest = connection.execute(select(func.count(), func.min(due.c.due_at))).one()
    leased, ended = held.get(lane.value, (0, None))
    return WorkFigures(count, leased, _seconds(oldest, now), ended)


def _count_delayed(connection: Connection, now: datetime) -> tuple[int, int]:
    delayed = delayed_transcripts(now).subquery()
    is_parked = delayed.c.state == TranscriptState.PARKED.value
    counts = select(func.count(), func.count().filter(is_parked)).select_from(delayed)
    waiting, parked = connection.execute(counts).one()
    return int(waiting), int(parked)


# ---- users and the index --------------------------------------------------------------------


def due_owners(now: datetime) -> Select[Any]:
    """Users with facts that wait, also those that are being consolidated: they stay due."""
    return (
        select(owners.c.due_at, owners.c.lease_until)
        .where(owners.c.due_at <= now)
        .order_by(owners.c.due_at)
        .limit(MAX_COUNTED)
    )


def due_outbox(now: datetime) -> Select[Any]:
    """Memories that the index has not seen, also those that are on their way."""
    return (
        select(outbox.c.due_at, outbox.c.lease_until)
        .where(outbox.c.due_at <= now)
        .order_by(outbox.c.due_at)
        .limit(MAX_COUNTED)
    )


def _leasable(
    connection: Connection,
    rows: Select[Any],
    now: datetime,
) -> WorkFigures:
    found = rows.subquery()
    until = found.c.lease_until
    is_held: ColumnElement[bool] = until.is_not(None)
    statement = select(
        func.count().filter(~is_held),
        func.count().filter(is_held),
        func.min(found.c.due_at).filter(~is_held),
        func.min(until),
    )
    due, leased, oldest, lease = connection.execute(statement).one()
    return WorkFigures(due, leased, _seconds(oldest, now), _since(lease, now))


# ---- memories and jobs ----------------------------------------------------------------------


def count_entries(connection: Connection) -> dict[tuple[str, str], int]:
    """Memories by scope and layer."""
    rows = connection.execute(_STATISTICS).mappings().all()
    if rows[0]["reltuples"] <= MAX_COUNTED:
        return _count_few(connection)
    known = {row["attname"]: row for row in rows}
    if not {"scope", "state", "evicted_at"} <= known.keys():
        return _count_few(connection)
    states = dict(zip(known["state"]["common"], known["state"]["shares"], strict=True))
    kept = known["evicted_at"]["null_frac"]
    shares = {
        STRUCTURED: states.get(MemoryState.ACTIVE.value, 0.0),
        SEMANTIC: (1 - states.get(MemoryState.MERGED.value, 0.0)) * kept,
    }
    scopes = zip(known["scope"]["common"], known["scope"]["shares"], strict=True)
    total = rows[0]["reltuples"]
    return {
        (scope, layer): round(total * share * part)
        for scope, share in scopes
        for layer, part in shares.items()
    }


def _count_few(connection: Connection) -> dict[tuple[str, str], int]:
    is_active = memories.c.state == MemoryState.ACTIVE.value
    some = (
        select(memories.c.scope, is_active.label("is_active"), is_indexed().label("is_indexed"))
        .where(true())
        .limit(MAX_COUNTED)
        .subquery()
    )
    statement = select(
        some.c.scope,
        func.count().filter(some.c.is_active),
        func.count().filter(some.c.is_indexed),
    ).group_by(some.c.scope)
    counted: dict[tuple[str, str], int] = {}
    for scope, active, indexed in connection.execute(statement):
        counted |= {(scope, STRUCTURED): active, (scope, SEMANTIC): indexed}
    return counted


def _job_ages(connection: Connection, now: datetime) -> dict[str, float]:
    statement = (
        select(job_runs.c.job, func.max(job_runs.c.ended_at))
        .where(job_runs.c.state == RunState.DONE.value)
        .group_by(job_runs.c.job)
    )
    return {job: _seconds(ended, now) for job, ended in connection.execute(statement)}


def _since(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else (now - moment).total_seconds()


def _seconds(since: datetime | None, now: datetime) -> float:
    return max(_since(since, now) or 0.0, 0.0)
