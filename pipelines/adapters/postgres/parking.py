"""Transcripts that wait: for a budget, parked together so that nobody asks for each, or a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, and_, case, func, literal, select, true, update

from pipelines.adapters.postgres.tables import old_receipts, transcripts
from pipelines.model import TranscriptState
from pipelines.ports import BATCHED

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from pipelines.model import ReceiptId, Transcript

WAITING_STATES = (TranscriptState.QUEUED.value, TranscriptState.PARKED.value)


def park_likes(
    connection: Connection,
    parked: Transcript,
    due_at: datetime,
    reason: str,
    now: datetime,
    *,
    whole_tenant: bool,
) -> None:
    """Park whatever else is due for the same budget and is not smaller, as it is stored."""
    this, other = transcripts.alias(), transcripts.alias()
    size = select(func.pg_column_size(this.c.body)).where(this.c.receipt == parked.id)
    waiting = (
        select(other.c.receipt)
        .where(
            other.c.tenant_id == parked.owner.tenant_id,
            true() if whole_tenant else other.c.user_id == parked.owner.user_id,
            other.c.state.in_(WAITING_STATES),
            other.c.due_at <= now,
            func.pg_column_size(other.c.body) >= size.scalar_subquery(),
        )
        # Somebody who parks or claims the same rows at this moment is not waited for.
        .with_for_update(skip_locked=True)
    )
    connection.execute(
        update(transcripts)
        .where(transcripts.c.receipt.in_(waiting))
        .values(state=TranscriptState.PARKED.value, due_at=due_at, turn_at=None, reason=reason)
    )


def count_parked(connection: Connection, tenant_id: str) -> dict[str, int]:
    """How many are parked of each user."""
    statement = (
        select(transcripts.c.user_id, func.count())
        .where(
            transcripts.c.tenant_id == tenant_id,
            transcripts.c.state == TranscriptState.PARKED.value,
        )
        .group_by(transcripts.c.user_id)
    )
    return {row[0]: int(row[1]) for row in connection.execute(statement)}


def count_states(
    connection: Connection, tenant_id: str, receipts: Collection[ReceiptId], user_id: str | None
) -> dict[str, int]:
    """How many stand in each state; queued ones that wait for a batch are counted apart."""
    is_batched = and_(
        transcripts.c.state == TranscriptState.QUEUED.value, transcripts.c.reason == BATCHED
    )
    state = case((is_batched, literal(BATCHED)), else_=transcripts.c.state).label("named")
    statement = (
        select(state, func.count())
        .where(
            transcripts.c.receipt.in_(receipts),
            transcripts.c.tenant_id == tenant_id,
            true() if user_id is None else transcripts.c.user_id == user_id,
        )
        .group_by(state)
    )
    archived = (
        select(old_receipts.c.state, func.count())
        .where(
            old_receipts.c.receipt.in_(receipts),
            old_receipts.c.tenant_id == tenant_id,
            true() if user_id is None else old_receipts.c.user_id == user_id,
        )
        .group_by(old_receipts.c.state)
    )
    counts: dict[str, int] = {}
    for name, count in (*connection.execute(statement), *connection.execute(archived)):
        counts[name] = counts.get(name, 0) + int(count)
    return counts
