"""What was under way when a backup was taken, made due again in the database it came back in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, case, delete, func, update

from pipelines.adapters.postgres.inbox_rows import first_fence
from pipelines.adapters.postgres.projection_gate import REBUILD, ROUND
from pipelines.adapters.postgres.tables import (
    batches,
    erasures,
    installation,
    outbox,
    owners,
    transcripts,
)
from pipelines.model import TranscriptState
from pipelines.ports import BatchState

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Table

_SETTLED = (TranscriptState.DISTILLED.value, TranscriptState.DONE.value)


def awaken(connection: Connection, now: datetime) -> None:
    """End all leases, and let nobody who held one, before the backup or after it, write.

    A fence only counts up, but the database it counts in was put back: a worker that is still
    alive somewhere may hold a number that would be given out once more. So all of them go on from
    the clock. Nobody has died over what was leased, and no attempt at it has failed.
    """
    _resume_transcripts(connection, now)
    is_held = owners.c.lease_until.is_not(None)
    _move_fences(
        connection,
        owners,
        now,
        attempts=func.greatest(owners.c.attempts - case((is_held, 1), else_=0), 0),
    )
    is_held = outbox.c.lease_until.is_not(None)
    _move_fences(
        connection,
        outbox,
        now,
        attempts=func.greatest(outbox.c.attempts - case((is_held, 1), else_=0), 0),
    )
    _move_fences(connection, batches, now)
    _move_fences(connection, erasures, now)
    # The index that was being built may be gone, and the one that is there knows more or less.
    connection.execute(delete(installation).where(installation.c.name.in_((REBUILD, ROUND))))


def _resume_transcripts(connection: Connection, now: datetime) -> None:
    is_held = transcripts.c.state == TranscriptState.DISTILLING.value
    connection.execute(
        update(transcripts)
        .where(transcripts.c.state.not_in(_SETTLED))
        .values(
            fence=func.greatest(transcripts.c.fence, first_fence(now)),
            lease_until=None,
            state=case((is_held, TranscriptState.QUEUED.value), else_=transcripts.c.state),
            attempts=transcripts.c.attempts - case((is_held, 1), else_=0),
            # It takes its place in the line anew.
            turn_at=case((is_held, None), else_=transcripts.c.turn_at),
        )
    )


def _move_fences(connection: Connection, table: Table, now: datetime, **values: object) -> None:
    statement = update(table).values(
        fence=func.greatest(table.c.fence, first_fence(now)), lease_until=None, **values
    )
    if table is batches:
        statement = statement.where(batches.c.state != BatchState.ENDED.value)
    connection.execute(statement)
