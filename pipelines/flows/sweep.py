"""Sweeping: whatever lies due without a worker is woken again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.flows.turns import WOKEN_AT_ONCE
from pipelines.model import Lane
from pipelines.outcome import Done, Outcome

if TYPE_CHECKING:
    from pipelines.ports import Clock, Waker, WorkTable

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sweep:
    """Re-sends lost wake-ups and hands on work whose lease has expired or whose delay is over."""

    work: WorkTable
    waker: Waker
    clock: Clock
    limit: int = 1000

    def run(self) -> Outcome:
        """Wake what is due; waking something twice is harmless.

        While more wake-ups of a kind wait than workers can take, none is added: the queues
        stay bounded however long the backlog of rows is.
        """
        now = self.clock.now()
        self.work.line_up(now, self.limit)
        due = self.work.find_due(now, self.limit)
        waiting = self.waker.count_waiting()
        counts: dict[str, int] = {}
        if due.transcripts and waiting.distill < WOKEN_AT_ONCE:
            self.waker.wake_distill(due.transcripts[:WOKEN_AT_ONCE])
            counts["transcripts"] = len(due.transcripts[:WOKEN_AT_ONCE])
        if due.backfill and waiting.backfill < WOKEN_AT_ONCE:
            self.waker.wake_distill(due.backfill[:WOKEN_AT_ONCE], Lane.BACKFILL)
            counts["backfill"] = len(due.backfill[:WOKEN_AT_ONCE])
        if due.owners and waiting.consolidate < self.limit:
            self.waker.wake_consolidate(due.owners)
            counts["owners"] = len(due.owners)
        if due.has_unprojected and not waiting.index:
            self.waker.wake_index()
        if due.has_unsettled and not waiting.redistill:
            self.waker.wake_redistill()
        if counts:
            log.info("work_woken", **counts)
        return Done(counts)
