"""Purging: what retention says has expired is deleted for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.outcome import Done, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from config.decay import DecayPolicy
    from config.retention import RetentionPolicy
    from pipelines.ports import Clock, FadingStore, RetentionStore

    Expire = Callable[[datetime, int], int]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Purge:
    """Deletes what has expired, in bounded batches; repeating it changes nothing."""

    fading: FadingStore
    store: RetentionStore
    clock: Clock
    decay: DecayPolicy
    retention: RetentionPolicy

    def run(self) -> Outcome:
        """Delete what may go."""
        counts = {"memories": self._purge_evicted()}
        for name, (expire, period) in self._expiring().items():
            counts[name] = self._delete(expire, self.clock.now() - period)
        deleted = {name: count for name, count in counts.items() if count}
        if deleted:
            log.info("expired_purged", **deleted)
        return Done(deleted)

    def _expiring(self) -> Mapping[str, tuple[Expire, timedelta]]:
        store, keep = self.store, self.retention
        return {
            "transcripts": (store.strip_transcripts, keep.transcripts),
            "replies": (store.delete_replies, keep.replies),
            "dead letters": (store.delete_dead, keep.dead),
            "refused facts": (store.delete_refused, keep.refused),
            "receipts": (store.delete_receipts, keep.receipts),
            "batches": (store.delete_batches, keep.batches),
        }

    def _delete(self, expire: Expire, before: datetime) -> int:
        total, found = 0, self.retention.batch
        while found == self.retention.batch:
            found = expire(before, self.retention.batch)
            total += found
        return total

    def _purge_evicted(self) -> int:
        """Evicted memories whose grace is over, what they superseded first."""
        before = self.clock.now() - self.decay.grace
        purged = 0
        while keys := self.fading.find_purgeable(before, self.decay.batch):
            gone = self.fading.purge_memories(keys, self.clock.now())
            if not gone:
                break  # somebody is at them; the next run sees what is left
            purged += gone
        return purged
