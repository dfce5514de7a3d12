"""What a person decides about how long a memory is told: pinning it, and having it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select

from pipelines.adapters.postgres.tables import memories
from pipelines.adapters.postgres.touching import Touch, touch
from pipelines.adapters.postgres.use_rows import add_uses

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection
    from sqlalchemy.engine import RowMapping

    from pipelines.adapters.postgres.database import Database
    from pipelines.model import MemoryId


class PostgresPins:
    """``PinStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pin(self, tenant_id: str, key: MemoryId, now: datetime, *, pinned: bool) -> None:
        name = "memory_pinned" if pinned else "memory_unpinned"
        with self._database.transaction(tenant_id) as connection:
            row = _lock(connection, tenant_id, key)
            if row is not None and row["pinned"] is not pinned:
                # A pinned memory is told: it cannot be evicted at the same time.
                values = {"pinned": pinned} | ({"evicted_at": None} if pinned else {})
                touch(connection, [key], Touch(name, values), now)

    def bring_back(self, tenant_id: str, key: MemoryId, now: datetime) -> None:
        with self._database.transaction(tenant_id) as connection:
            row = _lock(connection, tenant_id, key)
            if row is not None and row["evicted_at"] is not None:
                change = Touch("memory_restored", {"evicted_at": None}, {key: {"reason": "asked"}})
                touch(connection, [key], change, now)
                # Else it would be evicted again by the next run.
                add_uses(connection, [key], [1], [now])


def _lock(connection: Connection, tenant_id: str, key: MemoryId) -> RowMapping | None:
    statement = (
        select(memories.c.pinned, memories.c.evicted_at)
        .where(memories.c.tenant_id == tenant_id, memories.c.id == key)
        .with_for_update()
    )
    return connection.execute(statement).mappings().one_or_none()
