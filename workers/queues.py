"""The names of tasks and queues: one queue for each kind of work, to be scaled apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.model import Lane

if TYPE_CHECKING:
    from collections.abc import Iterable

    from celery import Celery

DISTILL = "memstill.distill"
CONSOLIDATE = "memstill.consolidate"
PROJECT = "memstill.project"
RUN_JOB = "memstill.run_job"
SHARE = "memstill.share"
REDISTILL = "memstill.redistill"

QUEUES = {
    DISTILL: "distill",
    CONSOLIDATE: "consolidate",
    PROJECT: "index",
    RUN_JOB: "jobs",
    SHARE: "jobs",
    REDISTILL: "redistill",
}

# Distilling that nobody waits for has a queue of its own.
BACKFILL = "backfill"


def is_served_by(app: Celery, task: str) -> bool:
    """Whether this process, if it is a worker, takes such wake-ups."""
    return QUEUES[task] in app.amqp.queues.consume_from


def lane_of_queue(queue: str | None) -> Lane:
    """Whose turn a wake-up out of this queue is."""
    return Lane.BACKFILL if queue == BACKFILL else Lane.INTERACTIVE


class BackfillLast:
    """The queues of a worker take turns; only when all others are empty is backfill taken.

    Redis hands out from the first queue of a list that is not empty: this is the list. What it
    can do is what kombu wants of a ``queue_order_strategy``.
    """

    def __init__(self) -> None:
        self._names: list[str] = []

    def update(self, names: Iterable[str]) -> None:
        """Take turns among these from now on."""
        self._names = list(names)

    def consume(self, count: int) -> list[str]:
        """The queues in the order in which they are asked for work."""
        return sorted(self._names[:count], key=lambda name: name == BACKFILL)

    def rotate(self, last_used: str) -> None:
        """Whoever was served goes behind the others."""
        if last_used in self._names:
            self._names.remove(last_used)
            self._names.append(last_used)
