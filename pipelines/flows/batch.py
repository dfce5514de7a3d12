"""Batches: backfill is asked for in bulk, and its answers are stored for the usual road."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import LeaseLost, ModelRefused, ModelUnavailable, NoBatches, StoreRefused
from pipelines.model import Lane
from pipelines.outcome import Done, Outcome
from pipelines.ports import Batch, BatchId, BatchOutcome, BatchState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from config.operation import BatchPolicy
    from pipelines.flows.gather import Gather
    from pipelines.ports import (
        BatchAnswer,
        BatchEndpoint,
        BatchProgress,
        BatchStore,
        Clock,
        PreparedRequest,
        Waker,
    )

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class RunBatches:
    """Collects what the provider has answered, and hands in what waits.

    A batch is written down before the provider hears of it, under an id that the provider keeps
    with it: after a crash it is looked for there before it is handed in again.

    Attributes:
        is_refused: The endpoint has no Batch API: this process does without.
    """

    store: BatchStore
    endpoint: BatchEndpoint
    gather: Gather
    waker: Waker
    clock: Clock
    policy: BatchPolicy
    is_refused: bool = field(default=False, init=False)

    def run(self) -> Outcome:
        """Do what there is to do, for a limited time; another run at the same time is harmless."""
        ends_at = self.clock.now() + self.policy.turn
        ended = self._advance_all(ends_at)
        opened = 0
        while not self.is_refused and self.clock.now() < ends_at and self._open_one():
            opened += 1
        if self.is_refused:
            self._let_go()
        return Done({"ended": ended, "opened": opened})

    # ---- handing in ---------------------------------------------------------------------------

    def _open_one(self) -> bool:
        """Whether a batch was opened, so that there may be more to gather."""
        with self.store.gathering() as is_alone:
            opened = self._open() if is_alone else None
        if opened is None:
            return False
        batch, requests = opened
        self._attempt(batch, lambda: self._hand_in(batch, requests))
        return True

    def _open(self) -> tuple[Batch, list[PreparedRequest]] | None:
        now = self.clock.now()
        candidates = self.gather.run(now)
        if not candidates:
            return None
        deadline_at = now + self.policy.window + self.policy.grace
        batch = Batch(BatchId(uuid.uuid4()), self.endpoint.name, now, deadline_at)
        items = [candidate.item for candidate in candidates]
        kept = {
            item.request_hash
            for item in self.store.open_batch(batch, items, now, self.policy.lease)
        }
        self.gather.release(it for it in candidates if it.prepared.request_hash not in kept)
        requests = [it.prepared for it in candidates if it.prepared.request_hash in kept]
        return (batch, requests) if requests else None

    def _hand_in(self, batch: Batch, requests: Sequence[PreparedRequest]) -> bool:
        file_id = batch.file_id or self.endpoint.upload(batch.id, requests)
        self.store.record_file(batch, file_id)
        try:
            provider_id = self.endpoint.create(batch.id, file_id)
        except NoBatches:
            self.endpoint.forget([file_id])
            raise
        self._record_running(batch, provider_id)
        log.info("batch_created", batch=str(batch.id), requests=len(requests))
        return False

    def _record_running(self, batch: Batch, provider_id: str) -> None:
        self.store.record_running(batch, provider_id, self.clock.now() + self.policy.interval)

    def _let_go(self) -> None:
        """What waits to be gathered goes the live road."""
        now = self.clock.now()
        waiting = [item.id for item in self.gather.find_waiting(now)]
        if waiting:
            self.store.release_waiting(waiting, now)
            self.waker.wake_distill(waiting, Lane.BACKFILL)

    # ---- going on -----------------------------------------------------------------------------

    def _advance_all(self, ends_at: datetime) -> int:
        ended = 0
        while self.clock.now() < ends_at:
            batch = self.store.claim_batch(self.clock.now(), self.policy.lease)
            if batch is None:
                break
            ended += self._attempt(batch, self._resume_or_look(batch))
        return ended

    def _resume_or_look(self, batch: Batch) -> Callable[[], bool]:
        provider_id = batch.provider_id
        if batch.state is BatchState.PREPARING or provider_id is None:
            return lambda: self._resume(batch)
        return lambda: self._look(batch, provider_id)

    def _attempt(self, batch: Batch, step: Callable[[], bool]) -> bool:
        """Whether the batch has ended; what went wrong is written down with it."""
        try:
            return step()
        except LeaseLost:
            log.warning("batch_lease_lost", batch=str(batch.id))
            return False
        except NoBatches as error:
            self.is_refused = True
            log.warning("batches_refused", error=str(error), remedy="set MEMSTILL_MODEL_BATCH=off")
            return self._end(batch, BatchOutcome.FAILED)
        except (ModelUnavailable, ModelRefused) as error:
            return self._put_off(batch, error)

    def _resume(self, batch: Batch) -> bool:
        """A worker died, or the provider did not answer, between writing down and handing in."""
        created = self.endpoint.find_created(batch.id, batch.created_at)
        for twin in created[1:]:
            self.endpoint.cancel(twin)
        if created:
            self._record_running(batch, created[0])
            log.info("batch_found", batch=str(batch.id))
            return False
        requests = self.gather.rebuild(self.store.list_items(batch))
        if not requests:
            return self._abandon(batch)
        file_id = batch.file_id or self.endpoint.find_upload(batch.id)
        return self._hand_in(replace(batch, file_id=file_id), requests)

    def _look(self, batch: Batch, provider_id: str) -> bool:
        progress = self.endpoint.look(provider_id)
        if progress.outcome is not None:
            return self._collect(batch, progress, progress.outcome)
        if self.clock.now() >= batch.deadline_at:
            if self._is_hopeless(batch):
                return self._abandon(batch)
            self.endpoint.cancel(provider_id)
        self.store.postpone_batch(batch, self.clock.now() + self.policy.interval, None)
        return False

    def _collect(self, batch: Batch, progress: BatchProgress, outcome: BatchOutcome) -> bool:
        for answer in self.endpoint.read(progress.files):
            self._settle(batch, answer)
        # Every answer is committed, so the provider need not keep the texts any longer.
        self.endpoint.forget([*progress.files, *_files_of(batch)])
        return self._end(batch, outcome)

    def _settle(self, batch: Batch, answer: BatchAnswer) -> None:
        try:
            self.store.settle(batch, answer)
        except StoreRefused:
            # One answer that cannot be stored shall not hold up the others.
            self.store.settle(batch, replace(answer, reply=None))

    # ---- the end ------------------------------------------------------------------------------

    def _put_off(self, batch: Batch, error: ModelUnavailable | ModelRefused) -> bool:
        if self._is_hopeless(batch):
            return self._abandon(batch)
        log.warning("batch_put_off", batch=str(batch.id), error=str(error))
        self.store.postpone_batch(batch, self.clock.now() + self.policy.interval, str(error))
        return False

    def _is_hopeless(self, batch: Batch) -> bool:
        """What could not be handed in need not wait as long as what may be answered yet."""
        if batch.state is BatchState.PREPARING:
            return self.clock.now() >= batch.created_at + self.policy.wait
        return self.clock.now() >= batch.deadline_at + self.policy.window

    def _abandon(self, batch: Batch) -> bool:
        self.endpoint.forget(_files_of(batch))
        return self._end(batch, BatchOutcome.ABANDONED)

    def _end(self, batch: Batch, outcome: BatchOutcome) -> bool:
        receipts = self.store.end_batch(batch, outcome, self.clock.now())
        log.info("batch_ended", batch=str(batch.id), outcome=outcome, transcripts=len(receipts))
        self.waker.wake_distill(receipts, Lane.BACKFILL)
        return True


def _files_of(batch: Batch) -> list[str]:
    return [] if batch.file_id is None else [batch.file_id]
