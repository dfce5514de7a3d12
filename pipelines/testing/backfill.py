"""The transcripts in memory as a store of batches sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.model import Lane, TranscriptState
from pipelines.ports import BATCHED
from pipelines.testing.tables import WAITING_STATES, InMemoryTables

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime
    from uuid import UUID

    from pipelines.model import ReceiptId
    from pipelines.testing.tables import TranscriptRow


class InMemoryBackfill(InMemoryTables):
    """Backfill that can be put in a batch, or that waits for one."""

    __slots__ = ()

    def untried(self, receipts: Collection[ReceiptId] | None = None) -> list[TranscriptRow]:
        """The rows, to be changed, of backfill that nobody has tried and that was in no batch."""
        with self._lock:
            return [
                row
                for key, row in self._transcripts.items()
                if (receipts is None or key in receipts)
                and row.transcript.lane is Lane.BACKFILL
                and row.state in WAITING_STATES
                and row.batch is None
                and not (row.attempts or row.lease_until or row.is_alone)
            ]

    def release_batched(self, batch: UUID, now: datetime) -> list[ReceiptId]:
        """Make what waits for this batch due; who that is."""
        with self._lock:
            rows = [
                row
                for row in self._transcripts.values()
                if row.batch == batch
                and row.state is TranscriptState.QUEUED
                and row.reason == BATCHED
            ]
            for row in rows:
                row.due_at, row.reason = now, None
            return [row.transcript.id for row in rows]
