"""The outbox: memories whose latest version the index may not have."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, select

from pipelines.adapters.postgres.rows import read_vector
from pipelines.adapters.postgres.tables import memories, outbox
from pipelines.model import MemoryId, MemoryState, Owner, Scope
from pipelines.ports import IndexPoint, Projection

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pipelines.adapters.postgres.database import Database


class PostgresOutbox:
    """``Outbox`` on PostgreSQL: a batch is a set of locked rows, freed if its worker dies."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def take(self, limit: int) -> Iterator[Projection]:
        with self._database.transaction() as connection:
            waiting = _lock_batch(connection, limit)
            yield _read_projection(connection, waiting)
            connection.execute(delete(outbox).where(outbox.c.memory_id.in_(waiting)))


def _lock_batch(connection: Connection, limit: int) -> list[MemoryId]:
    statement = (
        select(outbox.c.memory_id)
        .order_by(outbox.c.enqueued_at, outbox.c.memory_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [MemoryId(key) for key in connection.execute(statement).scalars()]


def _read_projection(connection: Connection, waiting: list[MemoryId]) -> Projection:
    statement = select(memories).where(
        memories.c.id.in_(waiting), memories.c.state == MemoryState.ACTIVE.value
    )
    upserts = tuple(_read_point(row) for row in connection.execute(statement).mappings())
    active = {point.memory_id for point in upserts}
    return Projection(upserts, tuple(key for key in waiting if key not in active))


def _read_point(row: Mapping[Any, Any]) -> IndexPoint:
    return IndexPoint(
        memory_id=MemoryId(row["id"]),
        owner=Owner(row["tenant_id"], row["user_id"]),
        scope=Scope(row["scope"]),
        session_id=row["session_id"],
        version=row["version"],
        vector=read_vector(row["embedding"]),
        text=row["statement"],
    )
