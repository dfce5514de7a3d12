"""The line in which due transcripts wait: tenants take turns, and so do the users of each.

Within a tenant a transcript's turn is a time by a virtual clock: its own due time, or a little
after the user's latest turn in line, whichever is later. Who has little in line so comes before
the tail of who has much, and order of arrival decides among the others (virtual clock
scheduling, Zhang 1990, with one rate for everybody).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    DateTime,
    Select,
    Text,
    and_,
    bindparam,
    case,
    func,
    select,
    tuple_,
    update,
)

from pipelines.adapters.postgres.arrays import is_named
from pipelines.adapters.postgres.parking import WAITING_STATES
from pipelines.adapters.postgres.tables import transcripts
from pipelines.model import Lane, Owner, ReceiptId, TranscriptState
from pipelines.ports import Place

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

# Between two turns of one user; only which comes first depends on it, not when.
GAP = timedelta(seconds=1)

_is_waiting = is_named(transcripts.c.state, *WAITING_STATES)
_is_in_line = and_(_is_waiting, transcripts.c.turn_at.is_not(None))


def find_in_line(
    connection: Connection,
    lane: Lane,
    after_tenant: str,
    now: datetime,
    limit: int,
    *,
    with_suspects: bool,
) -> list[Place]:
    """The first in the line of the next tenant behind ``after_tenant``, or of the first one.

    Those of the tenants behind it follow.
    """
    statement = _WITH_SUSPECTS if with_suspects else _WITHOUT_SUSPECTS
    values = {"lane": lane.value, "after_tenant": after_tenant, "now": now, "limit": limit}
    return [_read_place(row) for row in connection.execute(statement, values).mappings()]


def find_orphans(connection: Connection, lane: Lane, now: datetime, limit: int) -> list[Place]:
    """Those whose worker let the lease run out."""
    values = {"lane": lane.value, "now": now, "limit": limit}
    return [_read_place(row) for row in connection.execute(_ORPHANS, values).mappings()]


def give_turns(connection: Connection, rows: Iterable[dict[str, Any]], now: datetime) -> None:
    """Set ``turn_at`` in rows that are about to be stored; not due yet, they have none."""
    due = [row for row in rows if row["due_at"] <= now]
    for row in rows:
        row["turn_at"] = None
    latest = _find_latest(connection, {_owner_of(row) for row in due})
    for row in due:
        before = latest.get(_owner_of(row))
        row["turn_at"] = row["due_at"] if before is None else max(row["due_at"], before + GAP)
        latest[_owner_of(row)] = row["turn_at"]


def line_up(connection: Connection, now: datetime, limit: int) -> int:
    """Give turns to those whose delay is over, the longest due first."""
    statement = (
        select(
            transcripts.c.receipt,
            transcripts.c.tenant_id,
            transcripts.c.user_id,
            transcripts.c.due_at,
        )
        .where(_is_waiting, transcripts.c.turn_at.is_(None), transcripts.c.due_at <= now)
        .order_by(transcripts.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = [dict(row) for row in connection.execute(statement).mappings()]
    if rows:
        give_turns(connection, rows, now)
        turns = {row["receipt"]: row["turn_at"] for row in rows}
        connection.execute(
            update(transcripts)
            .where(transcripts.c.receipt.in_(turns))
            .values(turn_at=case(turns, value=transcripts.c.receipt))
        )
    return len(rows)


def _find_latest(connection: Connection, owners: Collection[Owner]) -> dict[Owner, datetime]:
    """The last turn that each of the users has in line."""
    if not owners:
        return {}
    whose = tuple_(transcripts.c.tenant_id, transcripts.c.user_id)
    statement = (
        select(transcripts.c.tenant_id, transcripts.c.user_id, func.max(transcripts.c.turn_at))
        .where(_is_in_line, whose.in_([owner.names for owner in owners]))
        .group_by(transcripts.c.tenant_id, transcripts.c.user_id)
    )
    return {Owner(row[0], row[1]): row[2] for row in connection.execute(statement)}


def _read_place(row: Mapping[Any, Any]) -> Place:
    return Place(ReceiptId(row["receipt"]), _owner_of(row))


def _owner_of(row: Mapping[Any, Any]) -> Owner:
    return Owner(row["tenant_id"], row["user_id"])


# ---- statements, made once: each transcript that is distilled executes them ---------------------


def _first_tenant(condition: ColumnElement[bool]) -> Select[tuple[str]]:
    return (
        select(transcripts.c.tenant_id).where(condition).order_by(transcripts.c.tenant_id).limit(1)
    )


def _places() -> Select[tuple[Any, str, str]]:
    return select(transcripts.c.receipt, transcripts.c.tenant_id, transcripts.c.user_id)


def _make_line(*conditions: ColumnElement[bool]) -> Select[Any]:
    is_free = and_(
        _is_in_line, transcripts.c.lane == _LANE, transcripts.c.due_at <= _NOW, *conditions
    )
    is_behind = transcripts.c.tenant_id > bindparam("after_tenant")
    following = _first_tenant(and_(is_free, is_behind)).scalar_subquery()
    tenant = func.coalesce(following, _first_tenant(is_free).scalar_subquery())
    return (
        _places()
        .where(is_free, transcripts.c.tenant_id >= tenant)
        .order_by(transcripts.c.tenant_id, transcripts.c.turn_at)
        .limit(bindparam("limit"))
    )


_LANE = bindparam("lane", type_=Text)
_NOW = bindparam("now", type_=DateTime(timezone=True))
_WITH_SUSPECTS = _make_line()
_WITHOUT_SUSPECTS = _make_line(transcripts.c.deaths == 0)
_ORPHANS = (
    _places()
    .where(
        is_named(transcripts.c.state, TranscriptState.DISTILLING.value),
        transcripts.c.lease_until <= _NOW,
        transcripts.c.lane == _LANE,
    )
    .order_by(transcripts.c.lease_until)
    .limit(bindparam("limit"))
)
