"""Wake-ups as Celery messages."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import structlog

from pipelines.model import Lane
from pipelines.ports import Waiting
from workers.aside import MAX_WAITING, Aside
from workers.broker import BROKER_ERRORS
from workers.queues import BACKFILL, CONSOLIDATE, DISTILL, PROJECT, QUEUES, REDISTILL, SHARE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from celery import Celery

    from pipelines.model import Owner, ReceiptId
    from pipelines.ports import Waker

log = structlog.get_logger(__name__)

GATHER_SECONDS = 0.03


class CeleryWaker:
    """``Waker`` on Celery. A broker that is away loses a wake-up, never work."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def count_waiting(self) -> Waiting:
        try:
            with self._app.connection_for_read() as connection:
                channel = connection.default_channel
                own = [QUEUES[task] for task in (DISTILL, CONSOLIDATE, PROJECT)]
                queues = (*own, BACKFILL, QUEUES[REDISTILL])
                known = self._app.amqp.queues
                return Waiting(*(_length(known[queue], channel) for queue in queues))
        except BROKER_ERRORS:
            # Nothing can be sent either; whoever tries will say so.
            return Waiting()

    def wake_distill(self, receipts: Sequence[ReceiptId], lane: Lane = Lane.INTERACTIVE) -> None:
        queue = BACKFILL if lane is Lane.BACKFILL else None
        self._send(DISTILL, [(str(receipt),) for receipt in receipts], queue)

    def wake_consolidate(self, owners: Sequence[Owner]) -> None:
        self._send(CONSOLIDATE, [(owner.tenant_id, owner.user_id) for owner in owners])

    def wake_index(self) -> None:
        self._send(PROJECT, [()])

    def wake_redistill(self) -> None:
        self._send(REDISTILL, [()])

    def wake_share(self, after_tenant: str) -> None:
        self._send(SHARE, [(after_tenant,)])

    def _send(self, task: str, calls: Sequence[tuple[str, ...]], queue: str | None = None) -> None:
        if not calls:
            return
        try:
            with self._app.producer_or_acquire() as producer:
                for args in calls:
                    self._app.send_task(
                        task, args, queue=queue or QUEUES[task], producer=producer, retry=False
                    )
        except BROKER_ERRORS as error:
            # The sweep finds the rows when the broker is back.
            log.warning("wakeup_lost", task=task, count=len(calls), error=type(error).__name__)


class GatheringWaker:
    """``Waker`` that wakes the index once for all who want it within a moment.

    Whoever projects takes up all that is due: a wake-up for each of many users who are
    consolidated at once would find nothing left.

    Args:
        waker: Wakes; for the index behind the caller's back.
        seconds: How long a moment is.

    Attributes:
        project: Does it here, where a wake-up would come back to this very process.
    """

    def __init__(self, waker: Waker, seconds: float = GATHER_SECONDS) -> None:
        self.project: Callable[[], None] | None = None
        self._waker = waker
        self._seconds = seconds
        self._aside = Aside("index waker", 1)
        self._is_waiting = threading.Lock()
        self._is_closing = threading.Event()

    def count_waiting(self) -> Waiting:
        return self._waker.count_waiting()

    def wake_distill(self, receipts: Sequence[ReceiptId], lane: Lane = Lane.INTERACTIVE) -> None:
        self._waker.wake_distill(receipts, lane)

    def wake_consolidate(self, owners: Sequence[Owner]) -> None:
        self._waker.wake_consolidate(owners)

    def wake_index(self) -> None:
        if self._is_waiting.acquire(blocking=False) and not self._aside.do(self._wake_index):
            self._is_waiting.release()

    def wake_redistill(self) -> None:
        self._waker.wake_redistill()

    def wake_share(self, after_tenant: str) -> None:
        self._waker.wake_share(after_tenant)

    def close(self) -> None:
        """Wake now whom somebody wanted to be woken."""
        self._is_closing.set()
        self._aside.close()

    def _wake_index(self) -> None:
        self._is_closing.wait(self._seconds)
        # Before it is sent: what is committed from here on needs another one.
        self._is_waiting.release()
        if self.project is None or self._is_closing.is_set():
            self._waker.wake_index()
        else:
            self.project()


class KeepingWaker:
    """``Waker`` whose consolidations a thread may keep to itself.

    Whoever distilled goes on with the user by itself, where its worker consolidates, too: a
    message to itself would cost as much as a tenth of the work. If it dies before, the sweep
    finds the user, as with a wake-up that was lost.

    Args:
        may_keep: Whether this process consolidates.
    """

    def __init__(self, waker: Waker, may_keep: Callable[[], bool]) -> None:
        self._waker = waker
        self._may_keep = may_keep
        self._of_thread = threading.local()

    @contextmanager
    def keep(self, owners: list[Owner]) -> Iterator[None]:
        """Put here, and not on the queue, whom this thread wants to be consolidated."""
        self._of_thread.kept = owners if self._may_keep() else None
        try:
            yield
        finally:
            self._of_thread.kept = None

    def count_waiting(self) -> Waiting:
        return self._waker.count_waiting()

    def wake_distill(self, receipts: Sequence[ReceiptId], lane: Lane = Lane.INTERACTIVE) -> None:
        self._waker.wake_distill(receipts, lane)

    def wake_consolidate(self, owners: Sequence[Owner]) -> None:
        kept: list[Owner] | None = getattr(self._of_thread, "kept", None)
        if kept is None:
            self._waker.wake_consolidate(owners)
        else:
            kept.extend(owner for owner in owners if owner not in kept)

    def wake_index(self) -> None:
        self._waker.wake_index()

    def wake_redistill(self) -> None:
        self._waker.wake_redistill()

    def wake_share(self, after_tenant: str) -> None:
        self._waker.wake_share(after_tenant)


class BackgroundWaker:
    """``Waker`` that sends behind the back of whoever wakes: they never wait for a broker.

    What does not fit any more while the broker hangs is lost, as with a broker that is away.
    """

    def __init__(self, waker: Waker, limit: int = MAX_WAITING) -> None:
        self._waker = waker
        self._aside = Aside("waker", limit)

    def count_waiting(self) -> Waiting:
        return self._waker.count_waiting()

    def wake_distill(self, receipts: Sequence[ReceiptId], lane: Lane = Lane.INTERACTIVE) -> None:
        if receipts:
            self._later(lambda: self._waker.wake_distill(receipts, lane))

    def wake_consolidate(self, owners: Sequence[Owner]) -> None:
        if owners:
            self._later(lambda: self._waker.wake_consolidate(owners))

    def wake_index(self) -> None:
        self._later(self._waker.wake_index)

    def wake_redistill(self) -> None:
        self._later(self._waker.wake_redistill)

    def wake_share(self, after_tenant: str) -> None:
        self._later(lambda: self._waker.wake_share(after_tenant))

    def close(self) -> None:
        """Send what is left, for a moment at most; the rest is lost."""
        self._aside.close()

    def _later(self, call: Callable[[], None]) -> None:
        if not self._aside.do(call):
            log.warning("wakeup_lost", error="the broker does not answer")


def _length(queue: Any, channel: Any) -> int:  # noqa: ANN401 - kombu has no types
    found: int = queue.bind(channel).queue_declare().message_count
    return found
