"""Sessions of which nothing is left but that they were: what leaves, and the receipt that stays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import and_, delete, exists, func, insert, literal, select, tuple_
from sqlalchemy.dialects.postgresql import JSONB

from pipelines.adapters.postgres.arrays import is_among
from pipelines.adapters.postgres.erased_meanwhile import find_erased
from pipelines.adapters.postgres.legal_holds import is_free
from pipelines.adapters.postgres.ownership import is_of
from pipelines.adapters.postgres.tables import facts, old_receipts, owners, transcripts
from pipelines.adapters.postgres.tombstones import lock_subjects
from pipelines.model import SHADOW, FactOutcome, Owner, TranscriptState
from pipelines.ports import ArchivedKind, Portion

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Connection, Select

    from pipelines.adapters.postgres.database import Database
    from pipelines.ports import ErasedPart

_MOMENT = "%Y%m%dT%H%M%S%f"


class PostgresOldSessions:
    """``OldRows`` on PostgreSQL.

    Args:
        database: Where the sessions are.
        least: Fewer of a user are left where they are.
    """

    def __init__(self, database: Database, least: int) -> None:
        self._database = database
        self._least = least

    def find_owners(
        self, after: Owner | None, before: datetime, limit: int
    ) -> tuple[list[Owner], Owner | None]:
        with self._database.transaction() as connection:
            statement = select_done(after, before, self._least, limit)
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
        with self._database.transaction() as connection:
            lock_subjects(connection, [owner])
            portion = _read(connection, owner, before, limit)
            if portion.lines:
                write(portion)
                _remove(connection, portion.keys, now)
        return len(portion.lines)

    def find_erased(self, portion: Portion) -> list[ErasedPart]:
        with self._database.transaction() as connection:
            return find_erased(connection, portion)


def _read(connection: Connection, owner: Owner, before: datetime, limit: int) -> Portion:
    statement = (
        _select_lines()
        .where(is_of(transcripts, owner), _may_leave(before))
        .order_by(transcripts.c.finished_at, transcripts.c.receipt)
        .limit(limit)
        .with_for_update(of=transcripts, skip_locked=True)
    )
    rows = connection.execute(statement).all()
    if not rows:
        return Portion(ArchivedKind.SESSIONS, owner)
    return Portion(
        ArchivedKind.SESSIONS,
        owner,
        tuple(_spell(row.line, row.refused) for row in rows),
        tuple(row.receipt for row in rows),
        rows[0].finished_at.strftime(_MOMENT),
        rows[-1].finished_at.strftime(_MOMENT),
    )


def select_done(after: Owner | None, before: datetime, least: int, limit: int) -> Select[Any]:
    """The next users, and whether enough of their sessions may leave."""
    old = (
        select(transcripts.c.receipt)
        .where(
            transcripts.c.tenant_id == owners.c.tenant_id,
            transcripts.c.user_id == owners.c.user_id,
            _may_leave(before),
        )
        .offset(least - 1)
        .limit(1)
    )
    whose = (owners.c.tenant_id, owners.c.user_id)
    statement = select(*whose, exists(old).label("is_enough"))
    statement = statement.where(~owners.c.tenant_id.contains(SHADOW))
    if after is not None:
        statement = statement.where(tuple_(*whose) > tuple_(*after.names))
    return statement.order_by(*whose).limit(limit)


def find_hashes(connection: Connection, receipts: Collection[UUID]) -> dict[UUID, str]:
    """The hashes of what was pushed under these receipts and is archived."""
    statement = select(old_receipts.c.receipt, old_receipts.c.content_hash).where(
        is_among(old_receipts.c.receipt, receipts)
    )
    return {row.receipt: row.content_hash for row in connection.execute(statement)}


def _may_leave(before: datetime) -> ColumnElement[bool]:
    copy = transcripts.alias()
    kept = exists().where(
        facts.c.receipt == transcripts.c.receipt, facts.c.outcome != FactOutcome.REFUSED.value
    )
    return and_(
        transcripts.c.state == TranscriptState.DONE.value,
        transcripts.c.finished_at < before,
        ~transcripts.c.body.has_key("messages"),
        transcripts.c.copy_of.is_(None),
        ~exists().where(copy.c.copy_of == transcripts.c.receipt),
        ~kept,
        is_free(transcripts),
    )


def _select_lines() -> Select[Any]:
    refused = (
        select(func.jsonb_agg(func.to_jsonb(facts.table_valued())))
        .where(facts.c.receipt == transcripts.c.receipt)
        .scalar_subquery()
    )
    line = func.to_jsonb(transcripts.table_valued(), type_=JSONB)
    return select(
        transcripts.c.receipt,
        transcripts.c.finished_at,
        line.label("line"),
        func.coalesce(refused, func.jsonb_build_array(), type_=JSONB).label("refused"),
    )


def _spell(line: dict[str, Any], refused: list[dict[str, Any]]) -> bytes:
    ordered = sorted(refused, key=lambda fact: fact["ordinal"])
    return orjson.dumps({**line, "refused": ordered})


def _remove(connection: Connection, receipts: Sequence[UUID], now: datetime) -> None:
    mine = is_among(transcripts.c.receipt, receipts)
    names = ("receipt", "tenant_id", "user_id", "session_id", "content_hash", "state")
    columns = (*names, "received_at", "finished_at")
    source = select(*(transcripts.c[name] for name in columns), literal(now)).where(mine)
    connection.execute(insert(old_receipts).from_select([*columns, "archived_at"], source))
    connection.execute(delete(facts).where(is_among(facts.c.receipt, receipts)))
    connection.execute(delete(transcripts).where(mine))
