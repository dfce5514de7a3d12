"""Leasing transcripts, one or several of a user that one model call may distill together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    UUID,
    ColumnElement,
    Connection,
    DateTime,
    ScalarSelect,
    and_,
    any_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import array

from pipelines.adapters.postgres.arrays import is_named
from pipelines.adapters.postgres.parking import WAITING_STATES
from pipelines.adapters.postgres.rows import read_transcript
from pipelines.adapters.postgres.tables import replies, transcripts
from pipelines.errors import LeaseLost
from pipelines.model import Transcript, TranscriptState
from pipelines.ports import TranscriptClaim

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy.sql.dml import ReturningUpdate

    from pipelines.model import Owner, ReceiptId

OPEN_STATES = (*WAITING_STATES, TranscriptState.DISTILLING.value)
# As stored. A body beyond this is no short transcript, and is not read to find that out.
_SHORT_BYTES = 64 * 1024


def lease_one(
    connection: Connection, receipt: ReceiptId, now: datetime, lease: timedelta
) -> TranscriptClaim | None:
    """Lease a transcript if it is due and nobody holds it."""
    return next(iter(_lease(connection, _LEASE_ONE, {"lead": receipt}, now, lease)), None)


def lease_all(
    connection: Connection, receipts: Sequence[ReceiptId], now: datetime, lease: timedelta
) -> list[TranscriptClaim]:
    """Lease transcripts that this transaction has locked; the claims come in their order."""
    if not receipts:
        return []
    claims = _lease(connection, _LEASE_ALL, {"receipts": list(receipts)}, now, lease)
    return sorted(claims, key=lambda claim: receipts.index(claim.transcript.id))


def leave_lease(connection: Connection, claim: TranscriptClaim, **values: object) -> None:
    """Change a held transcript, and hold it no longer.

    Raises:
        LeaseLost: The fence has moved on.
    """
    update_held(connection, claim, lease_until=None, **values)


def update_held(connection: Connection, claim: TranscriptClaim, **values: object) -> None:
    """Change a held transcript.

    Raises:
        LeaseLost: The fence has moved on.
    """
    told = {name: value for name, value in values.items() if not isinstance(value, ColumnElement)}
    computed = {name: value for name, value in values.items() if name not in told}
    statement = _UPDATE_HELD.values(computed) if computed else _UPDATE_HELD
    held = {"claimed": claim.transcript.id, "held_fence": claim.fence}
    if connection.execute(statement, held | told).rowcount != 1:
        raise LeaseLost(f"transcript {claim.transcript.id}: fence {claim.fence} has moved on")


def lock_short_waiting(
    connection: Connection, lead: Transcript, now: datetime, limit: int
) -> list[Transcript]:
    """Other short transcripts of the user that are due, the oldest session first, locked."""
    values = {
        "tenant_id": lead.owner.tenant_id,
        "user_id": lead.owner.user_id,
        "lead": lead.id,
        "lane": lead.lane.value,
        "now": now,
        "limit": limit,
    }
    rows = connection.execute(_LOCK_SHORT, values).mappings().all()
    texts = _load_bodies(connection, rows)
    return [read_transcript(row, texts[row["receipt"]]) for row in rows if row["receipt"] in texts]


def load_texts(
    connection: Connection, owner: Owner, receipts: Collection[ReceiptId]
) -> list[Transcript]:
    """Those of the transcripts that are this owner's; none that never was readable."""
    statement = select(transcripts).where(
        transcripts.c.receipt.in_(receipts),
        transcripts.c.tenant_id == owner.tenant_id,
        transcripts.c.user_id == owner.user_id,
    )
    rows = connection.execute(statement).mappings().all()
    texts = _load_bodies(connection, rows)
    return [read_transcript(row, texts[row["receipt"]]) for row in rows if row["receipt"] in texts]


def _load_bodies(
    connection: Connection, rows: Sequence[Mapping[Any, Any]]
) -> dict[ReceiptId, Mapping[str, Any]]:
    """The body of each row that has a text; that of a copy is the original's."""
    originals = {row["copy_of"] for row in rows if row["copy_of"]}
    statement = select(transcripts.c.receipt, transcripts.c.body).where(
        transcripts.c.receipt.in_(originals)
    )
    found = dict(connection.execute(statement).all()) if originals else {}
    bodies = {row["receipt"]: found.get(row["copy_of"], row["body"]) for row in rows}
    return {receipt: body for receipt, body in bodies.items() if "messages" in body}


def _lease(
    connection: Connection,
    statement: ReturningUpdate[Any],
    which: Mapping[str, object],
    now: datetime,
    lease: timedelta,
) -> list[TranscriptClaim]:
    """Count the attempt and move the fence on; whom a dead worker held goes alone from now on."""
    values = {**which, "now": now, "until": now + lease}
    rows = connection.execute(statement, values).mappings().all()
    texts = _load_bodies(connection, rows)
    without = [row["receipt"] for row in rows if row["receipt"] not in texts]
    _bury_without_text(connection, without, now)
    return [
        TranscriptClaim(
            read_transcript(row, texts[row["receipt"]]),
            row["fence"],
            row["attempts"],
            row["alone"],
            row["deaths"],
            row["was_asked"],
        )
        for row in rows
        if row["receipt"] in texts
    ]


def _bury_without_text(
    connection: Connection, receipts: Sequence[ReceiptId], now: datetime
) -> None:
    """A copy whose original was purged since: the generation keeps what was found before."""
    if receipts:
        connection.execute(
            update(transcripts)
            .where(transcripts.c.receipt.in_(receipts))
            .values(
                state=TranscriptState.DEAD.value,
                reason="its text is not kept",
                lease_until=None,
                finished_at=now,
            )
        )


# ---- statements, made once: each transcript that is distilled executes them ---------------------


def _size_of_original() -> ScalarSelect[int]:
    original = transcripts.alias()
    return (
        select(func.pg_column_size(original.c.body))
        .where(original.c.receipt == transcripts.c.copy_of)
        .scalar_subquery()
    )


def _is_due() -> ColumnElement[bool]:
    return and_(
        transcripts.c.due_at <= _NOW,
        or_(transcripts.c.lease_until.is_(None), transcripts.c.lease_until <= _NOW),
    )


def _was_asked() -> ColumnElement[bool]:
    """Whether a reply names it, or what it is a copy of: the same words are the same request."""
    named = func.array_remove(array([transcripts.c.receipt, transcripts.c.copy_of]), None)
    return exists().where(replies.c.receipts.overlap(named))


def _make_lease(condition: ColumnElement[bool]) -> ReturningUpdate[Any]:
    is_orphan = transcripts.c.state == TranscriptState.DISTILLING.value
    return (
        update(transcripts)
        .where(condition)
        .values(
            state=TranscriptState.DISTILLING.value,
            attempts=transcripts.c.attempts + 1,
            deaths=transcripts.c.deaths + case((is_orphan, 1), else_=0),
            fence=transcripts.c.fence + 1,
            lease_until=bindparam("until", type_=DateTime(timezone=True)),
            reason=None,
            alone=or_(transcripts.c.alone, is_orphan),
        )
        .returning(transcripts, _was_asked().label("was_asked"))
    )


_NOW = bindparam("now", type_=DateTime(timezone=True))
_LEASE_ONE = _make_lease(
    and_(
        transcripts.c.receipt == bindparam("lead"),
        is_named(transcripts.c.state, *OPEN_STATES),
        _is_due(),
    )
)
_LEASE_ALL = _make_lease(transcripts.c.receipt == any_(bindparam("receipts", type_=ARRAY(UUID))))
# The columns that it sets are those of which it is given values.
_UPDATE_HELD = update(transcripts).where(
    transcripts.c.receipt == bindparam("claimed"),
    transcripts.c.fence == bindparam("held_fence"),
    transcripts.c.state == TranscriptState.DISTILLING.value,
)
_LOCK_SHORT = (
    select(transcripts)
    .where(
        transcripts.c.tenant_id == bindparam("tenant_id"),
        transcripts.c.user_id == bindparam("user_id"),
        transcripts.c.receipt != bindparam("lead"),
        transcripts.c.lane == bindparam("lane"),
        is_named(transcripts.c.state, *WAITING_STATES),
        ~transcripts.c.alone,
        _is_due(),
        func.coalesce(_size_of_original(), func.pg_column_size(transcripts.c.body)) <= _SHORT_BYTES,
    )
    .order_by(transcripts.c.ended_at, transcripts.c.receipt)
    .limit(bindparam("limit"))
    # Whoever claims one of them at this moment is not waited for.
    .with_for_update(skip_locked=True)
)
