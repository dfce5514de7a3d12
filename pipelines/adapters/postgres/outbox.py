"""The outbox: memories whose latest version the index may not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    UUID,
    ColumnElement,
    Connection,
    DateTime,
    any_,
    bindparam,
    literal,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.arrays import is_found
from pipelines.adapters.postgres.generation_moves import find_brought
from pipelines.adapters.postgres.indexed import IS_INDEXED, is_indexed
from pipelines.adapters.postgres.passages import load_passages
from pipelines.adapters.postgres.profiles import read_entry_points
from pipelines.adapters.postgres.rows import read_vector
from pipelines.adapters.postgres.tables import memories, outbox, profile_entries
from pipelines.model import EVERYONE, MemoryId, MemoryState, Owner, Scope
from pipelines.ports import IndexPoint, Projection, Removal, Ticket

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime, timedelta

    from sqlalchemy.sql.dml import ReturningUpdate

    from config.retrieval import PassagePolicy
    from pipelines.adapters.postgres.database import Database

# Whose lease still holds, locked in the order in which a commit locks them, too.
_HELD = """
    WITH held AS MATERIALIZED (
        SELECT outbox.memory_id, outbox.change = named.change AS is_unchanged
        FROM unnest(
            CAST(:ids AS uuid[]), CAST(:changes AS bigint[]), CAST(:fences AS bigint[])
        ) AS named (memory_id, change, fence)
        JOIN outbox ON outbox.memory_id = named.memory_id AND outbox.fence = named.fence
        ORDER BY outbox.memory_id
        FOR UPDATE OF outbox
    )
"""
_TICK_OFF = text(
    f"""
    {_HELD}, ticked_off AS (
        DELETE FROM outbox USING held
        WHERE outbox.memory_id = held.memory_id AND held.is_unchanged
    )
    UPDATE outbox SET lease_until = NULL FROM held
    WHERE outbox.memory_id = held.memory_id AND NOT held.is_unchanged
    """  # noqa: S608 - no value stands in it
)
_GIVE_BACK = text(
    f"""
    {_HELD}
    UPDATE outbox SET lease_until = NULL, due_at = :due_at, last_error = :error,
        attempts = greatest(outbox.attempts - :uncounted, 0)
    FROM held WHERE outbox.memory_id = held.memory_id
    """  # noqa: S608
)
_READ = select(memories, is_indexed().label(IS_INDEXED)).where(
    memories.c.id == any_(bindparam("ids", type_=ARRAY(UUID)))
)


def _make_lease(condition: ColumnElement[bool]) -> ReturningUpdate[Any]:
    now = bindparam("now", type_=DateTime(timezone=True))
    due = (
        select(outbox.c.memory_id)
        .where(
            condition,
            outbox.c.due_at <= now,
            or_(outbox.c.lease_until.is_(None), outbox.c.lease_until <= now),
        )
        .order_by(outbox.c.due_at, outbox.c.memory_id)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True)
    )
    return (
        update(outbox)
        .where(is_found(outbox.c.memory_id, due))
        .values(
            lease_until=bindparam("until", type_=DateTime(timezone=True)),
            fence=outbox.c.fence + 1,
            attempts=outbox.c.attempts + 1,
        )
        .returning(outbox.c.memory_id, outbox.c.change, outbox.c.fence, outbox.c.attempts)
    )


_LEASE_FRESH = _make_lease(outbox.c.attempts == 0)
_LEASE_TRIED = _make_lease(outbox.c.attempts > 0)


class PostgresOutbox:
    """``Outbox`` on PostgreSQL."""

    def __init__(self, database: Database, passages: PassagePolicy) -> None:
        self._database = database
        self._passages = passages

    def take(self, limit: int, now: datetime, lease: timedelta) -> Projection:
        with self._database.transaction() as connection:
            tickets = _lease_fresh(connection, limit, now, lease) or _lease_tried(
                connection, now, lease
            )
        if not tickets:
            return Projection()
        # Read when they are leased: whatever changes from now on is projected after them.
        with self._database.transaction() as connection:
            return _read_projection(connection, tickets, self._passages)

    def tick_off(self, projection: Projection) -> None:
        with self._database.transaction() as connection:
            connection.execute(_TICK_OFF, _named(projection.tickets))

    def give_back(
        self, projection: Projection, due_at: datetime, error: str, *, is_counted: bool
    ) -> None:
        values = {"due_at": due_at, "error": error, "uncounted": int(not is_counted)}
        with self._database.transaction() as connection:
            connection.execute(_GIVE_BACK, _named(projection.tickets) | values)

    def refill(self, now: datetime) -> int:
        columns = ("memory_id", "tenant_id", "user_id", "enqueued_at", "due_at")
        indexed = select(
            memories.c.id, memories.c.tenant_id, memories.c.user_id, literal(now), literal(now)
        ).where(is_indexed())
        entries = select(
            profile_entries.c.id,
            profile_entries.c.tenant_id,
            profile_entries.c.user_id,
            literal(now),
            literal(now),
        ).where(profile_entries.c.embedding.is_not(None))
        wanted = indexed.union_all(entries)
        statement = upsert(outbox).from_select(columns, wanted).on_conflict_do_nothing()
        with self._database.transaction() as connection:
            added = connection.execute(statement, execution_options={"preserve_rowcount": True})
        return added.rowcount


def _lease_fresh(
    connection: Connection, limit: int, now: datetime, lease: timedelta
) -> tuple[Ticket, ...]:
    return _lease(connection, _LEASE_FRESH, limit, now, lease)


def _lease_tried(connection: Connection, now: datetime, lease: timedelta) -> tuple[Ticket, ...]:
    return _lease(connection, _LEASE_TRIED, 1, now, lease)


def _lease(
    connection: Connection,
    statement: ReturningUpdate[Any],
    limit: int,
    now: datetime,
    lease: timedelta,
) -> tuple[Ticket, ...]:
    values = {"now": now, "until": now + lease, "limit": limit}
    return tuple(
        Ticket(MemoryId(row[0]), *row[1:]) for row in connection.execute(statement, values)
    )


def _named(tickets: Collection[Ticket]) -> dict[str, Any]:
    return {
        "ids": [ticket.memory_id for ticket in tickets],
        "changes": [ticket.change for ticket in tickets],
        "fences": [ticket.fence for ticket in tickets],
    }


def _read_projection(
    connection: Connection, tickets: tuple[Ticket, ...], policy: PassagePolicy
) -> Projection:
    waiting = [ticket.memory_id for ticket in tickets]
    found = connection.execute(_READ, {"ids": waiting}).mappings().all()
    rows = [row for row in found if row[IS_INDEXED]]
    # What is everyone's rests on the words of single users: those are no other user's business.
    own = [row["id"] for row in rows if row["user_id"] != EVERYONE]
    passages = load_passages(connection, own, policy)
    owned = _read_owners(connection, rows)
    upserts = tuple(_read_point(row, owned[row["id"]], passages.get(row["id"], "")) for row in rows)
    versions = {row["id"]: row["version"] for row in found}
    entries = read_entry_points(connection, [key for key in waiting if key not in versions])
    upserts = (*upserts, *entries)
    kept = {point.memory_id for point in upserts}
    gone = (key for key in waiting if key not in kept)
    removals = tuple(Removal(key, versions.get(key)) for key in gone)
    return Projection(upserts, removals, tickets)


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
