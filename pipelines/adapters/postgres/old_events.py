"""Events that a snapshot covers and that are old enough to leave the log, and their way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import (
    ARRAY,
    BigInteger,
    and_,
    any_,
    delete,
    exists,
    func,
    literal,
    select,
    text,
    tuple_,
)

from pipelines.adapters.postgres.erased_meanwhile import find_erased
from pipelines.adapters.postgres.legal_holds import is_free
from pipelines.adapters.postgres.ownership import is_of
from pipelines.adapters.postgres.tables import erasures, event_snapshots, events
from pipelines.adapters.postgres.tombstones import lock_subjects
from pipelines.errors import OwnerBusy, VersionConflict
from pipelines.formats import EVENT
from pipelines.model import SHADOW, Owner
from pipelines.ports import ArchivedKind, ErasureState, Portion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Select

    from pipelines.adapters.postgres.database import Database
    from pipelines.ports import ErasedPart

ERASING = "the user is being erased; nothing of them is put back"
_COLUMNS = tuple(
    events.c[name] for name in ("seq", "memory_id", "name", "schema_version", "body", "at")
)
_PUT_BACK = text(
    """
    INSERT INTO events (seq, tenant_id, user_id, memory_id, name, schema_version, body, at)
    OVERRIDING SYSTEM VALUE
    SELECT seq, :tenant, :user, memory_id, name, schema_version, body, at
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS archived (
        seq bigint, memory_id uuid, name text, schema_version integer, body jsonb, at timestamptz
    )
    ON CONFLICT (seq) DO NOTHING
    """
)


class PostgresOldEvents:
    """``OldRows`` and ``ReturningEvents`` on PostgreSQL.

    Args:
        database: Where the events are.
        least: Fewer of a user are left where they are.
    """

    def __init__(self, database: Database, least: int) -> None:
        self._database = database
        self._least = least

    def find_owners(
        self, after: Owner | None, before: datetime, limit: int
    ) -> tuple[list[Owner], Owner | None]:
        with self._database.transaction() as connection:
            statement = select_archivable(after, before, self._least, limit)
            rows = connection.execute(statement).all()
        found = [Owner(row.tenant_id, row.user_id) for row in rows if row.is_enough]
        last = Owner(rows[-1].tenant_id, rows[-1].user_id) if len(rows) == limit else None
        return found, last

    def move(
        self,
        owner: Owner,
        before: datetime,
        limit: int,
        write: Callable[[Portion], object],
        now: datetime,
    ) -> int:
        del now
        with self._database.transaction() as connection:
            lock_subjects(connection, [owner])
            portion = _read(connection, owner, before, limit)
            if portion.lines:
                write(portion)
                among = events.c.seq == any_(literal(list(portion.keys), ARRAY(BigInteger)))
                connection.execute(delete(events).where(among))
        return len(portion.lines)

    def find_erased(self, portion: Portion) -> list[ErasedPart]:
        with self._database.transaction() as connection:
            return find_erased(connection, portion)

    def put_back(self, owner: Owner, lines: Sequence[bytes]) -> int:
        rows = list(map(orjson.loads, lines))
        for row in rows:
            EVENT.check(row["schema_version"])
        values = {"tenant": owner.tenant_id, "user": owner.user_id}
        with self._database.transaction() as connection:
            lock_subjects(connection, [owner])
            if _is_being_erased(connection, owner):
                raise OwnerBusy(ERASING)
            if max((row["seq"] for row in rows), default=0) > _covered(connection, owner):
                raise VersionConflict("no snapshot covers what is to be put back")
            given = {**values, "rows": orjson.dumps(rows).decode()}
            return connection.execute(_PUT_BACK, given).rowcount


def _read(connection: Connection, owner: Owner, before: datetime, limit: int) -> Portion:
    covered = select(event_snapshots.c.through).where(is_of(event_snapshots, owner))
    statement = (
        select(*_COLUMNS)
        .where(
            is_of(events, owner),
            events.c.seq <= covered.scalar_subquery(),
            events.c.at < before,
            is_free(events),
        )
        .order_by(events.c.seq)
        .limit(limit)
        .with_for_update(of=events, skip_locked=True)
    )
    rows = connection.execute(statement).mappings().all()
    if not rows:
        return Portion(ArchivedKind.EVENTS, owner)
    keys = tuple(row["seq"] for row in rows)
    first, last = (f"{number:020d}" for number in (keys[0], keys[-1]))
    return Portion(ArchivedKind.EVENTS, owner, tuple(map(spell_event, rows)), keys, first, last)


def select_archivable(after: Owner | None, before: datetime, least: int, limit: int) -> Select[Any]:
    """The next users who have a snapshot, and whether enough old events are covered by it."""
    old = (
        select(events.c.seq)
        .where(
            events.c.tenant_id == event_snapshots.c.tenant_id,
            events.c.user_id == event_snapshots.c.user_id,
            events.c.seq <= event_snapshots.c.through,
            events.c.at < before,
        )
        .offset(least - 1)
        .limit(1)
    )
    whose = (event_snapshots.c.tenant_id, event_snapshots.c.user_id)
    statement = select(
        *whose, and_(exists(old), is_free(event_snapshots)).label("is_enough")
    ).where(~event_snapshots.c.tenant_id.contains(SHADOW))
    if after is not None:
        statement = statement.where(tuple_(*whose) > tuple_(*after.names))
    return statement.order_by(*whose).limit(limit)


def spell_event(row: Mapping[Any, Any]) -> bytes:
    """An event as a line of a file."""
    names = ("seq", "memory_id", "name", "schema_version", "body", "at")
    return orjson.dumps({name: row[name] for name in names})


def _covered(connection: Connection, owner: Owner) -> int:
    statement = select(func.coalesce(func.max(event_snapshots.c.through), 0))
    return int(connection.execute(statement.where(is_of(event_snapshots, owner))).scalar_one())


def _is_being_erased(connection: Connection, owner: Owner) -> bool:
    """Whether what is read of the user may be erased by now."""
    of_user: ColumnElement[bool] = and_(
        erasures.c.tenant_id == owner.tenant_id,
        erasures.c.user_id == owner.user_id,
        erasures.c.state != ErasureState.VERIFIED.value,
    )
    return bool(connection.execute(select(exists().where(of_user))).scalar_one())
