"""What a person decides about how long a memory is told: pin it, forget it, have it back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_, select

from pipelines.adapters.postgres.legal_holds import find_hold
from pipelines.adapters.postgres.ownership import is_of
from pipelines.adapters.postgres.tables import events, memories
from pipelines.adapters.postgres.touching import Touch, touch
from pipelines.adapters.postgres.use_rows import add_uses
from pipelines.errors import InputError
from pipelines.model import MemoryId, Owner

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Connection, FromClause
    from sqlalchemy.engine import RowMapping

    from pipelines.adapters.postgres.database import Database

# A pinned memory is told: it cannot be evicted at the same time.
PINNED = {"pinned": True, "evicted_at": None}
_EVICTED, _FORGOTTEN = "memory_evicted", "forgotten"
HELD = "is under the legal hold {hold}: nothing was forgotten; `memstill holds release` lets it go"


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

    def forget(self, tenant_id: str, key: MemoryId, now: datetime) -> None:
        with self._database.transaction(tenant_id) as connection:
            row = _lock(connection, tenant_id, key)
            if row is None or row["is_forgotten"]:
                return
            hold = find_hold(connection, Owner(tenant_id, row["user_id"]))
            if hold is not None:
                raise InputError("memory", HELD.format(hold=hold.id))
            _evict(connection, [key], now)


def is_forgotten(table: FromClause) -> ColumnElement[bool]:
    """Whether a row of memories was evicted because somebody asked for it."""
    # Not EXISTS: a plan for it may read through all events.
    asked_for = (
        select(events.c.seq)
        .where(
            events.c.memory_id == table.c.id,
            events.c.name == _EVICTED,
            events.c.at == table.c.evicted_at,
            events.c.body["reason"].astext == _FORGOTTEN,
        )
        .limit(1)
        .scalar_subquery()
    )
    return and_(table.c.evicted_at.is_not(None), asked_for.is_not(None))


def keep_decisions(connection: Connection, before: Owner, after: Owner, now: datetime) -> None:
    """What a person decided holds where another owner says it in the same words."""
    pinned = _find_said(connection, before, after, memories.c.pinned)
    why = {MemoryId(key): {"reason": "was pinned in the generation before"} for key in pinned}
    touch(connection, pinned, Touch("memory_pinned", PINNED, why), now)
    forgotten = _find_said(connection, before, after, is_forgotten(memories))
    _evict(connection, forgotten, now)


def _evict(connection: Connection, keys: Collection[UUID], now: datetime) -> None:
    values = {"pinned": False, "evicted_at": now}
    why = {MemoryId(key): {"reason": _FORGOTTEN} for key in keys}
    touch(connection, keys, Touch(_EVICTED, values, why), now)


def _find_said(
    connection: Connection, before: Owner, after: Owner, decided: ColumnElement[bool]
) -> list[UUID]:
    """Lock the later owner's memories that are not so, of which an earlier one was."""
    words = select(memories.c.statement_key).where(is_of(memories, before), decided)
    found = select(memories.c.id).where(
        is_of(memories, after), ~decided, memories.c.statement_key.in_(words.scalar_subquery())
    )
    return list(connection.execute(found.order_by(memories.c.id).with_for_update()).scalars())


def _lock(connection: Connection, tenant_id: str, key: MemoryId) -> RowMapping | None:
    statement = (
        select(
            memories.c.user_id,
            memories.c.pinned,
            memories.c.evicted_at,
            is_forgotten(memories).label("is_forgotten"),
        )
        .where(memories.c.tenant_id == tenant_id, memories.c.id == key)
        .with_for_update()
    )
    return connection.execute(statement).mappings().one_or_none()
