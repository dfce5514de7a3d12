"""How PostgreSQL fares, looked at from outside the pool that the work uses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, func, select

from pipelines.adapters.postgres.arrays import is_named
from pipelines.adapters.postgres.database import Database
from pipelines.adapters.postgres.parking import WAITING_STATES
from pipelines.adapters.postgres.tables import erasures, transcripts
from pipelines.model import TranscriptState

if TYPE_CHECKING:
    from datetime import datetime, timedelta

# More than that are "more than that": nobody counts a million rows every other second.
MAX_COUNTED = 10_000


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in the database, of all tenants together.

    Attributes:
        oldest_due_seconds: How long the transcript has been due that is longest; 0 if none is.
        dead: Dead letters, ``MAX_COUNTED`` at most.
        overdue_erasures: Erasures that should have been proven by now.
    """

    oldest_due_seconds: float
    dead: int
    overdue_erasures: int


class PostgresPulse:
    """Asks over a connection of its own, which it gives back: nothing that hangs stays open."""

    def __init__(self, url: str, overdue_after: timedelta) -> None:
        self._database = Database(url, pool_size=1, connect_seconds=2, statement_ms=1_500)
        self._overdue_after = overdue_after

    def read(self, now: datetime) -> Backlog:
        """Look now.

        Raises:
            StoreUnavailable: It does not answer.
            StoreRefused: It has not got the tables.
        """
        try:
            with self._database.transaction() as connection:
                return Backlog(
                    _oldest_due_seconds(connection, now),
                    count_dead(connection),
                    count_overdue(connection, now - self._overdue_after),
                )
        finally:
            self._database.close()

    def close(self) -> None:
        """Close what is open."""
        self._database.close()


def _oldest_due_seconds(connection: Connection, now: datetime) -> float:
    oldest = select(func.min(transcripts.c.due_at)).where(
        is_named(transcripts.c.state, *WAITING_STATES), transcripts.c.due_at <= now
    )
    due_at: datetime | None = connection.execute(oldest).scalar_one()
    return 0.0 if due_at is None else (now - due_at).total_seconds()


def count_dead(connection: Connection) -> int:
    """Dead letters, ``MAX_COUNTED`` at most."""
    dead = select(transcripts.c.receipt).where(
        is_named(transcripts.c.state, TranscriptState.DEAD.value)
    )
    counted = select(func.count()).select_from(dead.limit(MAX_COUNTED).subquery())
    return int(connection.execute(counted).scalar_one())


def count_overdue(connection: Connection, before: datetime) -> int:
    """Erasures that were asked for before that, and are not proven."""
    statement = select(func.count()).where(
        erasures.c.requested_at <= before, erasures.c.due_at.is_not(None)
    )
    return int(connection.execute(statement).scalar_one())
