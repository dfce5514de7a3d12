"""What lies due: the sweep's view of the rows that are the work."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, exists, or_, select

from pipelines.adapters.postgres.arrays import is_named
from pipelines.adapters.postgres.generations import has_unsettled
from pipelines.adapters.postgres.leases import OPEN_STATES
from pipelines.adapters.postgres.line import line_up
from pipelines.adapters.postgres.profiles import has_pending
from pipelines.adapters.postgres.tables import outbox, owners, transcripts
from pipelines.model import Lane, Owner, ReceiptId
from pipelines.ports import DueWork

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.adapters.postgres.database import Database


class PostgresWorkTable:
    """``WorkTable`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def line_up(self, now: datetime, limit: int) -> int:
        with self._database.transaction() as connection:
            return line_up(connection, now, limit)

    def find_due(self, now: datetime, limit: int) -> DueWork:
        due_owners = (
            select(owners.c.tenant_id, owners.c.user_id)
            .where(
                owners.c.due_at <= now,
                or_(owners.c.lease_until.is_(None), owners.c.lease_until <= now),
            )
            .order_by(owners.c.due_at)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return DueWork(
                transcripts=_due_transcripts(connection, Lane.INTERACTIVE, now, limit),
                backfill=_due_transcripts(connection, Lane.BACKFILL, now, limit),
                owners=tuple(Owner(*row) for row in connection.execute(due_owners)),
                has_unprojected=_has_unprojected(connection, now) or has_pending(connection),
                has_unsettled=has_unsettled(connection, now),
            )


def _has_unprojected(connection: Connection, now: datetime) -> bool:
    is_free = or_(outbox.c.lease_until.is_(None), outbox.c.lease_until <= now)
    due = select(exists().where(outbox.c.due_at <= now, is_free))
    return bool(connection.execute(due).scalar_one())


def _due_transcripts(
    connection: Connection, lane: Lane, now: datetime, limit: int
) -> tuple[ReceiptId, ...]:
    statement = (
        select(transcripts.c.receipt)
        .where(
            transcripts.c.lane == lane.value,
            is_named(transcripts.c.state, *OPEN_STATES),
            transcripts.c.due_at <= now,
            or_(transcripts.c.lease_until.is_(None), transcripts.c.lease_until <= now),
        )
        .order_by(transcripts.c.due_at)
        .limit(limit)
    )
    return tuple(map(ReceiptId, connection.execute(statement).scalars()))
