"""Projecting: the outbox into the index, from the present state of each memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from config.operation import ProjectPolicy, RetryPolicy
from pipelines.errors import IndexRefused, IndexUnavailable
from pipelines.flows.again import delay_after, insist
from pipelines.outcome import Done, Outcome, Snoozed

if TYPE_CHECKING:
    from pipelines.ports import Clock, Outbox, Projection, VectorIndex

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Project:
    """Empties the outbox, batch by batch."""

    outbox: Outbox
    index: VectorIndex
    clock: Clock
    policy: ProjectPolicy = field(default_factory=ProjectPolicy)
    retry: RetryPolicy = field(default_factory=RetryPolicy)

    def run(self) -> Outcome:
        """Project until nothing is due or enough was done; the sweep sees what is left."""
        total = 0
        for _ in range(self.policy.max_batches):
            batch = self.outbox.take(self.policy.batch, self.clock.now(), self.policy.lease)
            if not batch.tickets:
                break
            try:
                total += self._apply_or_isolate(batch)
            except IndexUnavailable as error:
                return self._wait(batch, error)
        log.info("memories_projected", count=total)
        return Done({"projected": total})

    def _apply_or_isolate(self, batch: Projection) -> int:
        try:
            self._apply(batch)
        except IndexRefused as error:
            if len(batch.tickets) > 1:
                # One of them; the others must not wait for it.
                return sum(self._apply_or_isolate(part) for part in batch.split())
            self._postpone(batch, error)
            return 0
        return len(batch.tickets)

    def _apply(self, batch: Projection) -> None:
        self.index.apply(batch.upserts, batch.removals)
        insist(lambda: self.outbox.tick_off(batch), self.retry.patience)

    def _postpone(self, batch: Projection, error: IndexRefused) -> None:
        (ticket,) = batch.tickets
        due_at = self.clock.now() + delay_after(ticket.attempt, self.retry)
        self.outbox.give_back(batch, due_at, str(error), is_counted=True)
        log.error("memory_not_indexable", memory=str(ticket.memory_id), error=str(error))

    def _wait(self, batch: Projection, error: IndexUnavailable) -> Outcome:
        """Nobody is to blame; parts of the batch that are there already are not held any more."""
        pause = max(self.policy.pause, timedelta(seconds=error.retry_after_seconds or 0))
        due_at = self.clock.now() + pause
        insist(
            lambda: self.outbox.give_back(batch, due_at, str(error), is_counted=False),
            self.retry.patience,
        )
        log.warning("projection_postponed", error=str(error))
        return Snoozed(pause, str(error))


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
