"""Projecting: the outbox into the index, from the present state of each memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.outcome import Done, Outcome

if TYPE_CHECKING:
    from pipelines.ports import Clock, Outbox, VectorIndex

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Project:
    """Empties the outbox, batch by batch, at most ``max_batches`` of them."""

    outbox: Outbox
    index: VectorIndex
    batch: int = 500
    max_batches: int = 20

    def run(self) -> Outcome:
        """Project until nothing waits or enough was done; the sweep sees what is left."""
        total = 0
        for _ in range(self.max_batches):
            done = self._project_batch()
            total += done
            if done < self.batch:
                break
        log.info("memories_projected", count=total)
        return Done({"projected": total})

    def _project_batch(self) -> int:
        with self.outbox.take(self.batch) as projection:
            if projection.upserts or projection.removals:
                self.index.apply(projection.upserts, projection.removals)
            return len(projection.upserts) + len(projection.removals)


def refill_if_empty(outbox: Outbox, index: VectorIndex, clock: Clock) -> int:
    """Let every memory be projected anew where the index has nothing: it is new, or was dropped.

    Safe when several processes start at once; the sweep sees to what then waits.
    """
    if not index.is_empty():
        return 0
    waiting = outbox.refill(clock.now())
    if waiting:
        log.warning("index_refilled", waiting=waiting)
    return waiting
