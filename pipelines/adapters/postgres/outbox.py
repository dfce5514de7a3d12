"""The outbox: memories whose latest version the index may not have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    delete,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

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

    from config.retrieval import PassagePolicy
    from pipelines.adapters.postgres.database import Database

_PORTION = 500


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
            for part in _in_order(projection.tickets):
                held = _held(part)
                unchanged = tuple_(outbox.c.memory_id, outbox.c.change).in_(
                    [(ticket.memory_id, ticket.change) for ticket in part]
                )
                connection.execute(delete(outbox).where(held, unchanged))
                connection.execute(update(outbox).where(held).values(lease_until=None))

    def give_back(
        self, projection: Projection, due_at: datetime, error: str, *, is_counted: bool
    ) -> None:
        values: dict[str, Any] = {"lease_until": None, "due_at": due_at, "last_error": error}
        if not is_counted:
            values["attempts"] = func.greatest(outbox.c.attempts - 1, 0)
        with self._database.transaction() as connection:
            for part in _in_order(projection.tickets):
                connection.execute(update(outbox).where(_held(part)).values(**values))

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
    return _lease(connection, outbox.c.attempts == 0, limit, now, lease)


def _lease_tried(connection: Connection, now: datetime, lease: timedelta) -> tuple[Ticket, ...]:
    return _lease(connection, outbox.c.attempts > 0, 1, now, lease)


def _lease(
    connection: Connection,
    condition: ColumnElement[bool],
    limit: int,
    now: datetime,
    lease: timedelta,
) -> tuple[Ticket, ...]:
    due = (
        select(outbox.c.memory_id)
        .where(
            condition,
            outbox.c.due_at <= now,
            or_(outbox.c.lease_until.is_(None), outbox.c.lease_until <= now),
        )
        .order_by(outbox.c.due_at, outbox.c.memory_id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    statement = (
        update(outbox)
        .where(outbox.c.memory_id.in_(due))
        .values(lease_until=now + lease, fence=outbox.c.fence + 1, attempts=outbox.c.attempts + 1)
        .returning(outbox.c.memory_id, outbox.c.change, outbox.c.fence, outbox.c.attempts)
    )
    return tuple(Ticket(MemoryId(row[0]), *row[1:]) for row in connection.execute(statement))


def _held(tickets: Collection[Ticket]) -> ColumnElement[bool]:
    return tuple_(outbox.c.memory_id, outbox.c.fence).in_(
        [(ticket.memory_id, ticket.fence) for ticket in tickets]
    )


def _in_order(tickets: Collection[Ticket]) -> list[list[Ticket]]:
    """In portions of a bounded statement; in the order in which a commit locks the rows."""
    ordered = sorted(tickets, key=lambda ticket: ticket.memory_id)
    return [ordered[at : at + _PORTION] for at in range(0, len(ordered), _PORTION)]


def _read_projection(
    connection: Connection, tickets: tuple[Ticket, ...], policy: PassagePolicy
) -> Projection:
    waiting = [ticket.memory_id for ticket in tickets]
    statement = select(memories, is_indexed().label(IS_INDEXED)).where(memories.c.id.in_(waiting))
    found = connection.execute(statement).mappings().all()
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
