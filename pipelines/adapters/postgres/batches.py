"""Batches: what was handed in together, what it was for, and who waits for it."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Connection, and_, delete, func, insert, or_, select, update

from pipelines.adapters.postgres.ledger import end_hold
from pipelines.adapters.postgres.paging import is_behind
from pipelines.adapters.postgres.parking import WAITING_STATES
from pipelines.adapters.postgres.replies import insert_reply, is_kept
from pipelines.adapters.postgres.rows import read_transcript
from pipelines.adapters.postgres.tables import batch_items, batches, holds, transcripts
from pipelines.errors import LeaseLost
from pipelines.model import Lane, Owner, ReceiptId, TranscriptState
from pipelines.ports import (
    BATCHED,
    Batch,
    BatchId,
    BatchItem,
    BatchOutcome,
    BatchReport,
    BatchState,
    Hold,
    PaidFor,
    Purpose,
)
from pipelines.stages.cost import Charge, Usage

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime, timedelta

    from pipelines.adapters.postgres.database import Database
    from pipelines.adapters.postgres.ledger import PostgresLedger
    from pipelines.model import Transcript
    from pipelines.ports import BatchAnswer

# Outcomes of an item.
_KEPT, _FAILED = "kept", "failed"


class PostgresBatches:
    """``BatchStore`` on PostgreSQL; transcripts, replies and ledger are in the same database."""

    def __init__(self, database: Database, ledger: PostgresLedger) -> None:
        self._database = database
        self._ledger = ledger

    # ---- who waits ----------------------------------------------------------------------------

    @contextmanager
    def gathering(self) -> Iterator[bool]:
        key = func.hashtextextended("batches", 0)
        with self._database.transaction() as connection:
            # Ends with the transaction, also where its process dies.
            yield connection.execute(select(func.pg_try_advisory_xact_lock(key))).scalar_one()

    def find_waiting(self, until: datetime, limit: int, max_bytes: int) -> list[Transcript]:
        due = and_(_waits(), transcripts.c.due_at <= until)
        sized = (
            select(transcripts.c.receipt, func.pg_column_size(transcripts.c.body))
            .where(due)
            .order_by(transcripts.c.due_at, transcripts.c.receipt)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            chosen = _cut([(row[0], row[1]) for row in connection.execute(sized)], max_bytes)
            found = select(transcripts).where(transcripts.c.receipt.in_(chosen))
            rows = {row["receipt"]: row for row in connection.execute(found).mappings()}
        return [
            read_transcript(rows[receipt], rows[receipt]["body"])
            for receipt in chosen
            if receipt in rows
        ]

    def park_waiting(self, receipts: Sequence[ReceiptId], due_at: datetime, reason: str) -> None:
        values = {
            "state": TranscriptState.PARKED.value,
            "due_at": due_at,
            "turn_at": None,
            "reason": reason,
        }
        self._update_waiting(receipts, values)

    def release_waiting(self, receipts: Sequence[ReceiptId], now: datetime) -> None:
        self._update_waiting(receipts, {"due_at": now})

    def _update_waiting(self, receipts: Sequence[ReceiptId], values: dict[str, Any]) -> None:
        with self._database.transaction() as connection:
            free = _lock_waiting(connection, receipts)
            connection.execute(
                update(transcripts).where(transcripts.c.receipt.in_(free)).values(values)
            )

    # ---- a batch ------------------------------------------------------------------------------

    def open_batch(
        self, batch: Batch, items: Sequence[BatchItem], now: datetime, lease: timedelta
    ) -> list[BatchItem]:
        asked = {receipt for item in items for receipt in item.paid_for.receipts}
        with self._database.transaction() as connection:
            free = _lock_waiting(connection, asked)
            kept = [item for item in items if free.issuperset(item.paid_for.receipts)]
            if kept:
                row = _batch_row(batch) | {"due_at": now, "lease_until": now + lease}
                connection.execute(insert(batches), row)
                connection.execute(insert(batch_items), [_item_row(batch, it) for it in kept])
                _wait_for(connection, batch, kept)
        return kept

    def claim_batch(self, now: datetime, lease: timedelta) -> Batch | None:
        due = (
            select(batches.c.id)
            .where(
                batches.c.state != BatchState.ENDED.value,
                batches.c.due_at <= now,
                or_(batches.c.lease_until.is_(None), batches.c.lease_until <= now),
            )
            .order_by(batches.c.due_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        with self._database.transaction() as connection:
            chosen = connection.execute(due).scalar_one_or_none()
            if chosen is None:
                return None
            statement = (
                update(batches)
                .where(batches.c.id == chosen)
                .values(fence=batches.c.fence + 1, lease_until=now + lease)
                .returning(batches)
            )
            return _read_batch(connection.execute(statement).mappings().one())

    def list_items(self, batch: Batch) -> list[BatchItem]:
        statement = select(batch_items).where(*_open_items(batch))
        with self._database.transaction() as connection:
            rows = connection.execute(statement).mappings()
            return [_read_item(row, batch.model) for row in rows]

    def record_file(self, batch: Batch, file_id: str) -> None:
        with self._database.transaction() as connection:
            _update_held(connection, batch, file_id=file_id)

    def record_running(self, batch: Batch, provider_id: str, due_at: datetime) -> None:
        with self._database.transaction() as connection:
            _update_held(
                connection,
                batch,
                state=BatchState.RUNNING.value,
                provider_id=provider_id,
                due_at=due_at,
                lease_until=None,
                last_error=None,
            )

    def postpone_batch(self, batch: Batch, due_at: datetime, error: str | None) -> None:
        with self._database.transaction() as connection:
            _update_held(connection, batch, due_at=due_at, lease_until=None, last_error=error)

    # ---- its answers --------------------------------------------------------------------------

    def settle(self, batch: Batch, answer: BatchAnswer) -> bool:
        outcome = _FAILED if answer.reply is None else _KEPT
        settled = (
            update(batch_items)
            .where(*_open_items(batch), batch_items.c.request_hash == answer.request_hash)
            .values(outcome=outcome)
            .returning(batch_items)
        )
        with self._database.transaction() as connection:
            row = connection.execute(settled).mappings().one_or_none()
            if row is None:
                return False
            item = _read_item(row, batch.model)
            self._book(connection, item, answer)
            end_hold(connection, item.hold)
        return True

    def _book(self, connection: Connection, item: BatchItem, answer: BatchAnswer) -> None:
        if answer.reply is None:
            self._ledger.book_usage(connection, item.hold, answer.usage, item.paid_for)
            return
        if is_kept(connection, item.paid_for):
            insert_reply(connection, item.request_hash, answer.reply, item.paid_for)
        self._ledger.book_reply(connection, item.hold, answer.reply, item.paid_for)

    def end_batch(self, batch: Batch, outcome: BatchOutcome, now: datetime) -> list[ReceiptId]:
        unanswered = (
            update(batch_items)
            .where(*_open_items(batch))
            .values(outcome=_FAILED)
            .returning(batch_items.c.hold_id)
        )
        released = (
            update(transcripts)
            .where(
                transcripts.c.batch == batch.id,
                transcripts.c.state == TranscriptState.QUEUED.value,
                transcripts.c.reason == BATCHED,
            )
            .values(due_at=now, reason=None)
            .returning(transcripts.c.receipt)
        )
        with self._database.transaction() as connection:
            _update_held(
                connection,
                batch,
                state=BatchState.ENDED.value,
                outcome=outcome.value,
                ended_at=now,
                lease_until=None,
            )
            freed = [row[0] for row in connection.execute(unanswered) if row[0] is not None]
            connection.execute(delete(holds).where(holds.c.id.in_(freed)))
            return [ReceiptId(row[0]) for row in connection.execute(released)]

    def report(self, tenant_id: str, limit: int, after: BatchId | None = None) -> list[BatchReport]:
        counted = (
            select(
                batch_items.c.batch,
                func.count().label("requests"),
                func.count().filter(batch_items.c.outcome == _KEPT).label("answered"),
                func.count().filter(batch_items.c.outcome == _FAILED).label("failed"),
            )
            .where(batch_items.c.tenant_id == tenant_id)
            .group_by(batch_items.c.batch)
            .subquery()
        )
        statement = (
            select(batches, counted)
            .join(counted, counted.c.batch == batches.c.id)
            .where(is_behind(batches, "created_at", after))
            .order_by(batches.c.created_at.desc(), batches.c.id)
            .limit(limit)
        )
        with self._database.transaction(tenant_id) as connection:
            return [_read_report(row) for row in connection.execute(statement).mappings()]


def _waits() -> ColumnElement[bool]:
    """Backfill that nobody has tried and that was in no batch."""
    return and_(
        transcripts.c.lane == Lane.BACKFILL.value,
        transcripts.c.state.in_(WAITING_STATES),
        transcripts.c.batch.is_(None),
        transcripts.c.attempts == 0,
        transcripts.c.lease_until.is_(None),
        ~transcripts.c.alone,
        # A generation may ask another model.
        transcripts.c.copy_of.is_(None),
    )


def _cut(sized: Sequence[tuple[Any, int]], max_bytes: int) -> list[Any]:
    """As many from the start as there is room for, at least one."""
    chosen: list[Any] = []
    room = max_bytes
    for receipt, size in sized:
        room -= size
        if chosen and room < 0:
            break
        chosen.append(receipt)
    return chosen


def _lock_waiting(connection: Connection, receipts: Collection[ReceiptId]) -> set[ReceiptId]:
    """Those that still wait, until the end of the transaction; nobody else is waited for."""
    statement = (
        select(transcripts.c.receipt)
        .where(transcripts.c.receipt.in_(receipts), _waits())
        .with_for_update(skip_locked=True)
    )
    return set(map(ReceiptId, connection.execute(statement).scalars()))


def _wait_for(connection: Connection, batch: Batch, items: Sequence[BatchItem]) -> None:
    receipts = {receipt for item in items for receipt in item.paid_for.receipts}
    connection.execute(
        update(transcripts)
        .where(transcripts.c.receipt.in_(receipts))
        .values(
            state=TranscriptState.QUEUED.value,
            batch=batch.id,
            due_at=batch.deadline_at,
            turn_at=None,
            reason=BATCHED,
        )
    )
    held = [item.hold.id for item in items if item.hold.id is not None]
    connection.execute(
        update(holds).where(holds.c.id.in_(held)).values(expires_at=batch.deadline_at)
    )


def _update_held(connection: Connection, batch: Batch, **values: object) -> None:
    statement = (
        update(batches)
        .where(
            batches.c.id == batch.id,
            batches.c.fence == batch.fence,
            batches.c.state != BatchState.ENDED.value,
        )
        .values(**values)
    )
    if connection.execute(statement).rowcount != 1:
        raise LeaseLost(f"batch {batch.id}: fence {batch.fence} has moved on")


def _open_items(batch: Batch) -> tuple[ColumnElement[bool], ...]:
    return (batch_items.c.batch == batch.id, batch_items.c.outcome.is_(None))


def _batch_row(batch: Batch) -> dict[str, Any]:
    return {
        "id": batch.id,
        "state": batch.state.value,
        "model": batch.model,
        "created_at": batch.created_at,
        "deadline_at": batch.deadline_at,
        "fence": batch.fence,
    }


def _read_batch(row: Any) -> Batch:  # noqa: ANN401 - a mapping of the columns
    return Batch(
        id=BatchId(row["id"]),
        model=row["model"],
        created_at=row["created_at"],
        deadline_at=row["deadline_at"],
        state=BatchState(row["state"]),
        file_id=row["file_id"],
        provider_id=row["provider_id"],
        fence=row["fence"],
    )


def _item_row(batch: Batch, item: BatchItem) -> dict[str, Any]:
    return {
        "batch": batch.id,
        "request_hash": item.request_hash,
        "tenant_id": item.paid_for.owner.tenant_id,
        "user_id": item.paid_for.owner.user_id,
        "purpose": item.paid_for.purpose.value,
        "receipts": list(item.paid_for.receipts),
        "hold_id": item.hold.id,
        "day": item.hold.day,
        "prompt_tokens": item.hold.estimate.usage.prompt_tokens,
    }


def _read_item(row: Any, model: str) -> BatchItem:  # noqa: ANN401 - a mapping of the columns
    owner = Owner(row["tenant_id"], row["user_id"])
    estimate = Charge(model, Usage(row["prompt_tokens"]), None, is_estimated=True)
    return BatchItem(
        request_hash=row["request_hash"],
        paid_for=PaidFor(owner, Purpose(row["purpose"]), tuple(map(ReceiptId, row["receipts"]))),
        hold=Hold(row["hold_id"], row["day"], estimate, is_batch=True),
    )


def _read_report(row: Any) -> BatchReport:  # noqa: ANN401 - a mapping of the columns
    return BatchReport(
        id=BatchId(row["id"]),
        state=BatchState(row["state"]),
        outcome=BatchOutcome(row["outcome"]) if row["outcome"] else None,
        provider_id=row["provider_id"],
        created_at=row["created_at"],
        deadline_at=row["deadline_at"],
        ended_at=row["ended_at"],
        last_error=row["last_error"],
        requests=row["requests"],
        answered=row["answered"],
        failed=row["failed"],
    )
