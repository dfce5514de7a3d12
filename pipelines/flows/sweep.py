"""Sweeping: whatever lies due without a worker is woken again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.outcome import Done, Outcome, Skipped

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

        While more wake-ups wait than workers can take, none is added: the queue stays bounded
        however long the backlog of rows is.
        """
        if self.waker.count_waiting() >= self.limit:
            return Skipped("the workers have enough to wake up for")
        due = self.work.find_due(self.clock.now(), self.limit)
        self.waker.wake_distill(due.transcripts)
        self.waker.wake_consolidate(due.owners)
        if due.has_unprojected:
            self.waker.wake_index()
        counts = {"transcripts": len(due.transcripts), "owners": len(due.owners)}
        if due.transcripts or due.owners:
            log.info("work_woken", **counts)
        return Done(counts)
