"""What lies due among rows in memory, under the same contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.model import Lane
from pipelines.ports import DueWork
from pipelines.testing.tables import InMemoryTables

if TYPE_CHECKING:
    from datetime import datetime


class InMemoryWorkTable(InMemoryTables):
    """``WorkTable`` over shared rows."""

    __slots__ = ()

    def line_up(self, now: datetime, limit: int) -> int:
        del limit
        with self._lock:
            return self._line_up(now)

    def find_due(self, now: datetime, limit: int) -> DueWork:
        with self._lock:
            rows = sorted(self._transcripts.values(), key=lambda row: row.due_at)
            due = [row.transcript for row in rows if row.is_claimable(now)]
            interactive, backfill = (
                tuple(item.id for item in due if item.lane is lane)[:limit] for lane in Lane
            )
            has_unprojected = any(row.is_due(now) for row in self._outbox.values())
            owners = [owner for owner, row in self._owners.items() if row.is_claimable(now)]
            return DueWork(interactive, tuple(owners[:limit]), has_unprojected, backfill)
