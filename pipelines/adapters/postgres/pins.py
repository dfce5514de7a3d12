"""What a person decides about how long a memory is told: pinning it, and having it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exists, select

from pipelines.adapters.postgres.ownership import is_of
from pipelines.adapters.postgres.tables import memories
from pipelines.adapters.postgres.touching import Touch, touch
from pipelines.adapters.postgres.use_rows import add_uses
from pipelines.model import MemoryId

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection
    from sqlalchemy.engine import RowMapping

    from pipelines.adapters.postgres.database import Database
    from pipelines.model import Owner

# A pinned memory is told: it cannot be evicted at the same time.
PINNED = {"pinned": True, "evicted_at": None}


class PostgresPins:
    """``PinStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def pin(self, tenant_id: str, key: MemoryId, now: datetime, *, pinned: bool) -> None:
        name = "memory_pinned" if pinned else "memory_unpinned"
        with self._database.transaction(tenant_id) as connection:
            row = _lock(connection, tenant_id, key)
            if row is not None and row["pinned"] is not pinned:
                values = PINNED if pinned else {"pinned": False}
                touch(connection, [key], Touch(name, values), now)

    def bring_back(self, tenant_id: str, key: MemoryId, now: datetime) -> None:
        with self._database.transaction(tenant_id) as connection:
            row = _lock(connection, tenant_id, key)
            if row is not None and row["evicted_at"] is not None:
                change = Touch("memory_restored", {"evicted_at": None}, {key: {"reason": "asked"}})
                touch(connection, [key], change, now)
                # Else it would be evicted again by the next run.
                add_uses(connection, [key], [1], [now])


def keep_pins(connection: Connection, before: Owner, after: Owner, now: datetime) -> None:
    """What a person wanted kept is kept where another owner says it in the same words."""
    known = memories.alias()
    is_pinned = exists().where(
        is_of(known, before), known.c.pinned, known.c.statement_key == memories.c.statement_key
    )
    found = select(memories.c.id).where(is_of(memories, after), ~memories.c.pinned, is_pinned)
    keys = connection.execute(found.order_by(memories.c.id).with_for_update()).scalars().all()
    why = {MemoryId(key): {"reason": "was pinned in the generation before"} for key in keys}
    touch(connection, keys, Touch("memory_pinned", PINNED, why), now)


def _lock(connection: Connection, tenant_id: str, key: MemoryId) -> RowMapping | None:
    statement = (
        select(memories.c.pinned, memories.c.evicted_at)
        .where(memories.c.tenant_id == tenant_id, memories.c.id == key)
        .with_for_update()
    )
    return connection.execute(statement).mappings().one_or_none()
