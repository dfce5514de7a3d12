"""Batches in memory, and a Batch API on a script."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipelines.errors import LeaseLost
from pipelines.model import TranscriptState
from pipelines.ports import (
    BATCHED,
    Batch,
    BatchAnswer,
    BatchId,
    BatchItem,
    BatchOutcome,
    BatchProgress,
    BatchReport,
    BatchState,
    ChatReply,
)
from pipelines.stages.cost import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime, timedelta

    from pipelines.model import ReceiptId, Transcript
    from pipelines.ports import PreparedRequest
    from pipelines.testing.backfill import InMemoryBackfill
    from pipelines.testing.models import InMemoryReplies


@dataclass(slots=True)
class _BatchRow:
    batch: Batch
    items: dict[str, BatchItem]
    due_at: datetime
    lease_until: datetime | None
    outcome: BatchOutcome | None = None
    ended_at: datetime | None = None
    last_error: str | None = None
    outcomes: dict[str, bool] = field(default_factory=dict)


class InMemoryBatches:
    """``BatchStore`` over the transcripts of ``stores`` and the replies and ledger of others."""

    def __init__(self, stores: InMemoryBackfill, replies: InMemoryReplies) -> None:
        self._stores = stores
        self._replies = replies
        self._lock = threading.RLock()
        self._gathering = threading.Lock()
        self._rows: dict[BatchId, _BatchRow] = {}

    # ---- who waits ----------------------------------------------------------------------------

    @contextmanager
    def gathering(self) -> Iterator[bool]:
        is_alone = self._gathering.acquire(blocking=False)
        try:
            yield is_alone
        finally:
            if is_alone:
                self._gathering.release()

    def find_waiting(self, until: datetime, limit: int, max_bytes: int) -> list[Transcript]:
        rows = [row for row in self._stores.untried() if row.due_at <= until]
        rows.sort(key=lambda row: (row.due_at, row.transcript.id))
        chosen: list[Transcript] = []
        for row in rows[:limit]:
            size = sum(len(message.content) for message in row.transcript.messages)
            max_bytes -= size
            if chosen and max_bytes < 0:
                break
            chosen.append(row.transcript)
        return chosen

    def park_waiting(self, receipts: Sequence[ReceiptId], due_at: datetime, reason: str) -> None:
        for row in self._stores.untried(receipts):
            row.wait(TranscriptState.PARKED, due_at)
            row.reason = reason

    def release_waiting(self, receipts: Sequence[ReceiptId], now: datetime) -> None:
        for row in self._stores.untried(receipts):
            row.due_at = now

    # ---- a batch ------------------------------------------------------------------------------

    def open_batch(
        self, batch: Batch, items: Sequence[BatchItem], now: datetime, lease: timedelta
    ) -> list[BatchItem]:
        asked = {receipt for item in items for receipt in item.paid_for.receipts}
        with self._lock:
            rows = {row.transcript.id: row for row in self._stores.untried(asked)}
            kept = [item for item in items if rows.keys() >= set(item.paid_for.receipts)]
            for receipt in {receipt for item in kept for receipt in item.paid_for.receipts}:
                row = rows[receipt]
                row.wait(TranscriptState.QUEUED, batch.deadline_at)
                row.batch, row.reason = batch.id, BATCHED
            for item in kept:
                self._replies.ledger.extend(item.hold, batch.deadline_at)
            if kept:
                by_hash = {item.request_hash: item for item in kept}
                self._rows[batch.id] = _BatchRow(batch, by_hash, now, now + lease)
        return kept

    def claim_batch(self, now: datetime, lease: timedelta) -> Batch | None:
        with self._lock:
            due = [
                row
                for row in self._rows.values()
                if row.batch.state is not BatchState.ENDED
                and row.due_at <= now
                and (row.lease_until is None or row.lease_until <= now)
            ]
            if not due:
                return None
            row = min(due, key=lambda row: row.due_at)
            row.batch = replace(row.batch, fence=row.batch.fence + 1)
            row.lease_until = now + lease
            return row.batch

    def list_items(self, batch: Batch) -> list[BatchItem]:
        with self._lock:
            row = self._rows[batch.id]
            return [item for key, item in row.items.items() if key not in row.outcomes]

    def record_file(self, batch: Batch, file_id: str) -> None:
        with self._lock:
            row = self._held(batch)
            row.batch = replace(row.batch, file_id=file_id)

    def record_running(self, batch: Batch, provider_id: str, due_at: datetime) -> None:
        with self._lock:
            row = self._held(batch)
            state = BatchState.RUNNING
            row.batch = replace(row.batch, state=state, provider_id=provider_id)
            row.due_at, row.lease_until, row.last_error = due_at, None, None

    def postpone_batch(self, batch: Batch, due_at: datetime, error: str | None) -> None:
        with self._lock:
            row = self._held(batch)
            row.due_at, row.lease_until, row.last_error = due_at, None, error

    # ---- its answers --------------------------------------------------------------------------

    def settle(self, batch: Batch, answer: BatchAnswer) -> bool:
        with self._lock:
            row = self._rows[batch.id]
            item = row.items.get(answer.request_hash)
            if item is None or item.request_hash in row.outcomes:
                return False
            row.outcomes[item.request_hash] = answer.reply is not None
            if answer.reply is None:
                self._replies.ledger.book_lost(item.hold, answer.usage, item.paid_for)
            else:
                self._replies.keep_paid(item.request_hash, answer.reply, item.paid_for, item.hold)
            return True

    def end_batch(self, batch: Batch, outcome: BatchOutcome, now: datetime) -> list[ReceiptId]:
        with self._lock:
            row = self._held(batch)
            for item in self.list_items(batch):
                row.outcomes[item.request_hash] = False
                self._replies.ledger.release(item.hold)
            row.batch = replace(row.batch, state=BatchState.ENDED)
            row.outcome, row.ended_at, row.lease_until = outcome, now, None
            return self._stores.release_batched(batch.id, now)

    def report(self, tenant_id: str, limit: int, after: BatchId | None = None) -> list[BatchReport]:
        with self._lock:
            rows = sorted(self._rows.values(), key=lambda row: row.batch.id)
            rows.sort(key=lambda row: row.batch.created_at, reverse=True)
            reports = [_report(row, tenant_id) for row in rows]
        mine = [item for item in reports if item.requests]
        keys = [item.id for item in mine]
        start = 0 if after is None else keys.index(after) + 1 if after in keys else len(keys)
        return mine[start : start + limit]

    def _held(self, batch: Batch) -> _BatchRow:
        row = self._rows[batch.id]
        if row.batch.fence != batch.fence or row.batch.state is BatchState.ENDED:
            raise LeaseLost(f"batch {batch.id}: fence {batch.fence} has moved on")
        return row


def _report(row: _BatchRow, tenant_id: str) -> BatchReport:
    keys = [key for key, it in row.items.items() if it.paid_for.owner.tenant_id == tenant_id]
    outcomes = [row.outcomes[key] for key in keys if key in row.outcomes]
    return BatchReport(
        id=row.batch.id,
        state=row.batch.state,
        outcome=row.outcome,
        provider_id=row.batch.provider_id,
        created_at=row.batch.created_at,
        deadline_at=row.batch.deadline_at,
        ended_at=row.ended_at,
        last_error=row.last_error,
        requests=len(keys),
        answered=outcomes.count(True),
        failed=outcomes.count(False),
    )


class ScriptedBatchEndpoint:
    """``BatchEndpoint`` in memory: batches run until they are told how they end.

    Attributes:
        faults: What the next calls of a method raise, if they do, by the method's name: before
            it has done anything, or after it where the name ends in ``+``. ``read`` fails
            before an answer.
        created: How often ``create`` really created a batch: that is what is paid.
        forgotten: The files that were to be deleted.
    """

    def __init__(self, answer: Callable[[PreparedRequest], ChatReply | Usage | None]) -> None:
        self._answer = answer
        self._lock = threading.Lock()
        self._uploads: dict[BatchId, str] = {}
        self._files: dict[str, tuple[PreparedRequest, ...]] = {}
        self._batches: dict[str, tuple[BatchId, str]] = {}
        self._outcomes: dict[str, BatchOutcome] = {}
        self.faults: dict[str, list[BaseException | None]] = {}
        self.created: list[str] = []
        self.forgotten: list[str] = []

    @property
    def name(self) -> str:
        return "scripted"

    @property
    def requests(self) -> list[PreparedRequest]:
        """What was handed in, batch by batch."""
        return [it for key in self.created for it in self._files[self._batches[key][1]]]

    def end(self, outcome: BatchOutcome = BatchOutcome.COMPLETED) -> None:
        """All batches that run end so; only completed and expired ones have answers."""
        for key in self.created:
            self._outcomes.setdefault(key, outcome)

    def find_upload(self, batch_id: BatchId) -> str | None:
        self._fail("find_upload")
        return self._uploads.get(batch_id)

    def upload(self, batch_id: BatchId, requests: Sequence[PreparedRequest]) -> str:
        self._fail("upload")
        file_id = f"file-{len(self._files) + 1}"
        self._files[file_id] = tuple(requests)
        self._uploads[batch_id] = file_id
        self._fail("upload+")
        return file_id

    def find_created(self, batch_id: BatchId, since: datetime) -> list[str]:
        del since
        self._fail("find_created")
        return [key for key in self.created if self._batches[key][0] == batch_id]

    def create(self, batch_id: BatchId, file_id: str) -> str:
        self._fail("create")
        key = f"batch-{len(self.created) + 1}"
        self._batches[key] = (batch_id, file_id)
        self.created.append(key)
        self._fail("create+")
        return key

    def look(self, provider_id: str) -> BatchProgress:
        self._fail("look")
        outcome = self._outcomes.get(provider_id)
        return BatchProgress(outcome, (provider_id,) if outcome else ())

    def read(self, files: Sequence[str]) -> Iterator[BatchAnswer]:
        for provider_id in files:
            for request in self._files[self._batches[provider_id][1]]:
                self._fail("read")
                yield self._answer_to(request, self._outcomes[provider_id])

    def cancel(self, provider_id: str) -> None:
        self._fail("cancel")
        self._outcomes.setdefault(provider_id, BatchOutcome.CANCELLED)

    def forget(self, files: Sequence[str]) -> None:
        self.forgotten += files

    def _answer_to(self, request: PreparedRequest, outcome: BatchOutcome) -> BatchAnswer:
        is_answered = outcome in {BatchOutcome.COMPLETED, BatchOutcome.EXPIRED}
        answer = self._answer(request) if is_answered else None
        if isinstance(answer, Usage):
            return BatchAnswer(request.request_hash, None, answer)
        return BatchAnswer(request.request_hash, answer)

    def _fail(self, name: str) -> None:
        with self._lock:
            waiting = self.faults.get(name)
            error = waiting.pop(0) if waiting else None
        if error is not None:
            raise error
