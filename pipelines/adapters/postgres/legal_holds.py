"""Legal holds, and the condition that nobody holds a row's owner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import exists, func, insert, select, update

from pipelines.adapters.postgres.paging import is_behind
from pipelines.adapters.postgres.tables import legal_holds
from pipelines.adapters.postgres.tombstones import lock_subjects
from pipelines.errors import NotFound
from pipelines.model import SHADOW, Owner
from pipelines.ports import HoldId, LegalHold

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Table

    from pipelines.adapters.postgres.database import Database


class PostgresHolds:
    """``HoldStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def place(self, hold: LegalHold) -> LegalHold:
        row = {
            "id": hold.id,
            "tenant_id": hold.owner.tenant_id,
            "user_id": hold.owner.user_id,
            "reason": hold.reason,
            "placed_at": hold.placed_at,
            "placed_by": hold.placed_by,
        }
        with self._database.transaction() as connection:
            # Whoever is being erased at this moment is gone before they can be held.
            lock_subjects(connection, [hold.owner], exclusive=True)
            known = _find(connection, *_in_force(hold.owner), legal_holds.c.reason == hold.reason)
            if known is not None:
                return known
            connection.execute(insert(legal_holds), row)
        return hold

    def release(self, tenant_id: str, key: HoldId, by: str, now: datetime) -> LegalHold:
        statement = (
            update(legal_holds)
            .where(legal_holds.c.tenant_id == tenant_id, legal_holds.c.id == key)
            .values(
                released_at=func.coalesce(legal_holds.c.released_at, now),
                released_by=func.coalesce(legal_holds.c.released_by, by),
            )
            .returning(legal_holds)
        )
        with self._database.transaction(tenant_id) as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise NotFound(f"no legal hold has the id {key}")
        return _read(row)

    def list_holds(
        self, tenant_id: str, limit: int, after: HoldId | None = None
    ) -> list[LegalHold]:
        statement = (
            select(legal_holds)
            .where(legal_holds.c.tenant_id == tenant_id, is_behind(legal_holds, "placed_at", after))
            .order_by(legal_holds.c.placed_at.desc(), legal_holds.c.id)
            .limit(limit)
        )
        with self._database.transaction(tenant_id) as connection:
            return [_read(row) for row in connection.execute(statement).mappings()]


def is_free(table: Table) -> ColumnElement[bool]:
    """No legal hold is on the owner of a row, be it in a generation that is held ready."""
    return ~exists().where(
        legal_holds.c.tenant_id == func.split_part(table.c.tenant_id, SHADOW, 1),
        legal_holds.c.user_id == table.c.user_id,
        legal_holds.c.released_at.is_(None),
    )


def find_hold(connection: Connection, owner: Owner) -> LegalHold | None:
    """A hold on a user."""
    return _find(connection, *_in_force(owner))


def _find(connection: Connection, *conditions: ColumnElement[bool]) -> LegalHold | None:
    oldest = (legal_holds.c.placed_at, legal_holds.c.id)
    statement = select(legal_holds).where(*conditions).order_by(*oldest).limit(1)
    row = connection.execute(statement).mappings().one_or_none()
    return None if row is None else _read(row)


def release_all(connection: Connection, owner: Owner, by: str, now: datetime) -> None:
    """Let a user go of whom a backup knew a hold that was released since."""
    connection.execute(
        update(legal_holds).where(*_in_force(owner)).values(released_at=now, released_by=by)
    )


def _in_force(owner: Owner) -> tuple[ColumnElement[bool], ...]:
    return (
        legal_holds.c.tenant_id == owner.tenant_id,
        legal_holds.c.user_id == owner.user_id,
        legal_holds.c.released_at.is_(None),
    )


def _read(row: Mapping[Any, Any]) -> LegalHold:
    return LegalHold(
        id=HoldId(row["id"]),
        owner=Owner(row["tenant_id"], row["user_id"]),
        reason=row["reason"],
        placed_at=row["placed_at"],
        placed_by=row["placed_by"],
        released_at=row["released_at"],
        released_by=row["released_by"],
    )
