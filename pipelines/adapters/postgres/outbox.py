"""The outbox: memories whose latest version the index may not have."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, literal, select
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.generation_moves import find_brought
from pipelines.adapters.postgres.passages import load_passages
from pipelines.adapters.postgres.rows import read_vector
from pipelines.adapters.postgres.tables import memories, outbox
from pipelines.model import EVERYONE, MemoryId, MemoryState, Owner, Scope
from pipelines.ports import INDEXED_STATES, IndexPoint, Projection, Removal

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from config.policy import PassagePolicy
    from pipelines.adapters.postgres.database import Database

_INDEXED = sorted(state.value for state in INDEXED_STATES)


class PostgresOutbox:
    """``Outbox`` on PostgreSQL: a batch is a set of locked rows, freed if its worker dies."""

    def __init__(self, database: Database, passages: PassagePolicy) -> None:
        self._database = database
        self._passages = passages

    @contextmanager
    def take(self, limit: int) -> Iterator[Projection]:
        with self._database.transaction() as connection:
            waiting = _lock_batch(connection, limit)
            yield _read_projection(connection, waiting, self._passages)
            connection.execute(delete(outbox).where(outbox.c.memory_id.in_(waiting)))

    def refill(self, now: datetime) -> int:
        columns = ("memory_id", "tenant_id", "user_id", "enqueued_at")
        indexed = select(
            memories.c.id, memories.c.tenant_id, memories.c.user_id, literal(now)
        ).where(memories.c.state.in_(_INDEXED))
        statement = upsert(outbox).from_select(columns, indexed).on_conflict_do_nothing()
        with self._database.transaction() as connection:
            added = connection.execute(statement, execution_options={"preserve_rowcount": True})
        return added.rowcount


def _lock_batch(connection: Connection, limit: int) -> list[MemoryId]:
    statement = (
        select(outbox.c.memory_id)
        .order_by(outbox.c.enqueued_at, outbox.c.memory_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    return [MemoryId(key) for key in connection.execute(statement).scalars()]


def _read_projection(
    connection: Connection, waiting: list[MemoryId], policy: PassagePolicy
) -> Projection:
    found = connection.execute(select(memories).where(memories.c.id.in_(waiting))).mappings().all()
    rows = [row for row in found if row["state"] in _INDEXED]
    # What is everyone's rests on the words of single users: those are no other user's business.
    own = [row["id"] for row in rows if row["user_id"] != EVERYONE]
    passages = load_passages(connection, own, policy)
    owned = _read_owners(connection, rows)
    upserts = tuple(_read_point(row, owned[row["id"]], passages.get(row["id"], "")) for row in rows)
    kept = {point.memory_id for point in upserts}
    versions = {row["id"]: row["version"] for row in found}
    gone = (key for key in waiting if key not in kept)
    return Projection(upserts, tuple(Removal(key, versions.get(key)) for key in gone))


def _read_owners(
    connection: Connection, rows: Iterable[Mapping[Any, Any]]
) -> dict[uuid.UUID, Owner]:
    """Under whom each memory is searched: a live user finds what is about to become live, too."""
    stored = {row["id"]: Owner(row["tenant_id"], row["user_id"]) for row in rows}
    shadows = {owner for owner in stored.values() if owner != owner.live}
    brought = find_brought(connection, shadows)
    return {key: owner.live if owner in brought else owner for key, owner in stored.items()}


def _read_point(row: Mapping[Any, Any], owner: Owner, passage: str) -> IndexPoint:
    return IndexPoint(
        memory_id=MemoryId(row["id"]),
        owner=owner,
        scope=Scope(row["scope"]),
        session_id=row["session_id"],
        version=row["version"],
        vector=read_vector(row["embedding"]),
        text=f"{row['statement']} {passage}".strip(),
        state=MemoryState(row["state"]),
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
    )
