"""Leasing transcripts, one or several of a user that one model call may distill together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    and_,
    case,
    func,
    or_,
    select,
    update,
)

from pipelines.adapters.postgres.parking import WAITING_STATES
from pipelines.adapters.postgres.rows import read_transcript
from pipelines.adapters.postgres.tables import transcripts
from pipelines.model import Transcript, TranscriptState
from pipelines.ports import TranscriptClaim

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime, timedelta

    from pipelines.model import Owner, ReceiptId

OPEN_STATES = (*WAITING_STATES, TranscriptState.DISTILLING.value)
# As stored. A body beyond this is no short transcript, and is not read to find that out.
_SHORT_BYTES = 64 * 1024


def lease_one(
    connection: Connection, receipt: ReceiptId, now: datetime, lease: timedelta
) -> TranscriptClaim | None:
    """Lease a transcript if it is due and nobody holds it."""
    condition = and_(
        transcripts.c.receipt == receipt, transcripts.c.state.in_(OPEN_STATES), _is_due(now)
    )
    return next(iter(_lease(connection, condition, now, lease)), None)


def lease_all(
    connection: Connection, receipts: Sequence[ReceiptId], now: datetime, lease: timedelta
) -> list[TranscriptClaim]:
    """Lease transcripts that this transaction has locked; the claims come in their order."""
    if not receipts:
        return []
    claims = _lease(connection, transcripts.c.receipt.in_(receipts), now, lease)
    return sorted(claims, key=lambda claim: receipts.index(claim.transcript.id))


def lock_short_waiting(
    connection: Connection, lead: Transcript, now: datetime, limit: int
) -> list[Transcript]:
    """Other short transcripts of the user that are due, the oldest session first, locked."""
    statement = (
        select(transcripts)
        .where(
            transcripts.c.tenant_id == lead.owner.tenant_id,
            transcripts.c.user_id == lead.owner.user_id,
            transcripts.c.receipt != lead.id,
            transcripts.c.lane == lead.lane.value,
            transcripts.c.state.in_(WAITING_STATES),
            ~transcripts.c.alone,
            _is_due(now),
            func.coalesce(_size_of_original(), func.pg_column_size(transcripts.c.body))
            <= _SHORT_BYTES,
        )
        .order_by(transcripts.c.ended_at, transcripts.c.receipt)
        .limit(limit)
        # Whoever claims one of them at this moment is not waited for.
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(statement).mappings().all()
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


def _size_of_original() -> ScalarSelect[int]:
    original = transcripts.alias()
    return (
        select(func.pg_column_size(original.c.body))
        .where(original.c.receipt == transcripts.c.copy_of)
        .scalar_subquery()
    )


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(
        transcripts.c.due_at <= now,
        or_(transcripts.c.lease_until.is_(None), transcripts.c.lease_until <= now),
    )


def _lease(
    connection: Connection, condition: ColumnElement[bool], now: datetime, lease: timedelta
) -> list[TranscriptClaim]:
    """Count the attempt and move the fence on; whom a dead worker held goes alone from now on."""
    is_orphan = transcripts.c.state == TranscriptState.DISTILLING.value
    values: dict[str, Any] = {
        "state": TranscriptState.DISTILLING.value,
        "attempts": transcripts.c.attempts + 1,
        "deaths": transcripts.c.deaths + case((is_orphan, 1), else_=0),
        "fence": transcripts.c.fence + 1,
        "lease_until": now + lease,
        "reason": None,
        "alone": or_(transcripts.c.alone, is_orphan),
    }
    statement = update(transcripts).where(condition).values(values).returning(transcripts)
    rows = connection.execute(statement).mappings().all()
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
