"""What the index should hold, read from the rows of memories; and how it gets there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, func, select
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.generation_moves import find_brought
from pipelines.adapters.postgres.indexed import IS_INDEXED, is_indexed
from pipelines.adapters.postgres.profiles import count_entries, list_expected_entries
from pipelines.adapters.postgres.tables import memories, outbox, profile_entries
from pipelines.model import MemoryId, MemoryState, Owner, Scope
from pipelines.ports import Expected

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from pipelines.adapters.postgres.database import Database

_READ = (
    memories.c.id,
    memories.c.tenant_id,
    memories.c.user_id,
    memories.c.scope,
    memories.c.version,
    memories.c.state,
    is_indexed().label(IS_INDEXED),
)


class PostgresIndexTruth:
    """``IndexTruth`` on PostgreSQL, over all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def count(self) -> int:
        with self._database.transaction() as connection:
            known = connection.execute(select(func.count()).select_from(memories)).scalar_one()
            return int(known) + count_entries(connection)

    def list_expected(self, after: MemoryId | None, limit: int) -> list[Expected]:
        statement = select(*_READ).order_by(memories.c.id).limit(limit)
        if after is not None:
            statement = statement.where(memories.c.id > after)
        with self._database.transaction() as connection:
            rows = connection.execute(statement).mappings().all()
            owners = _searched_under(connection, rows)
            entries = list_expected_entries(connection, after, limit)
        expected = [
            Expected(
                MemoryId(row["id"]),
                owners[_owner_of(row)],
                Scope(row["scope"]),
                row["version"],
                MemoryState(row["state"]),
                row[IS_INDEXED],
            )
            for row in rows
        ]
        return sorted([*expected, *entries], key=lambda item: item.memory_id)[:limit]

    def find_waiting(self, keys: Collection[MemoryId]) -> dict[MemoryId, bool]:
        if not keys:
            return {}
        is_refused = and_(outbox.c.attempts > 0, outbox.c.last_error.is_not(None))
        statement = select(outbox.c.memory_id, is_refused).where(outbox.c.memory_id.in_(keys))
        with self._database.transaction() as connection:
            return {MemoryId(row[0]): bool(row[1]) for row in connection.execute(statement)}

    def enqueue(self, owners: Mapping[MemoryId, Owner], now: datetime) -> int:
        if not owners:
            return 0
        keys = sorted(owners)
        with self._database.transaction() as connection:
            statement = select(memories.c.id, memories.c.tenant_id, memories.c.user_id)
            rows = connection.execute(statement.where(memories.c.id.in_(keys))).mappings()
            stored = {row["id"]: _owner_of(row) for row in rows}
            more = select(
                profile_entries.c.id, profile_entries.c.tenant_id, profile_entries.c.user_id
            ).where(profile_entries.c.id.in_(keys))
            stored |= {row["id"]: _owner_of(row) for row in connection.execute(more).mappings()}
            waiting = [_outbox_row(key, stored.get(key, owners[key]), now) for key in keys]
            # One order for all writers: two that touch the same rows wait instead of deadlocking.
            insertion = upsert(outbox).on_conflict_do_nothing().returning(outbox.c.memory_id)
            return len(connection.execute(insertion, waiting).all())


def _searched_under(
    connection: Connection, rows: Iterable[Mapping[Any, Any]]
) -> dict[Owner, Owner]:
    """A live user finds what is about to become live, too."""
    owners = {_owner_of(row) for row in rows}
    brought = find_brought(connection, {owner for owner in owners if owner != owner.live})
    return {owner: owner.live if owner in brought else owner for owner in owners}


def _owner_of(row: Mapping[Any, Any]) -> Owner:
    return Owner(row["tenant_id"], row["user_id"])


def _outbox_row(key: MemoryId, owner: Owner, now: datetime) -> dict[str, Any]:
    return {
        "memory_id": key,
        "tenant_id": owner.tenant_id,
        "user_id": owner.user_id,
        "enqueued_at": now,
        "due_at": now,
    }
