"""Purging: what retention says has expired is deleted for good."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from pipelines.outcome import Done, Outcome, Snoozed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

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
        """Delete what may go, in bounded turns; each begins with what is left."""
        started, counts = self.clock.now(), Counter[str]()
        for name, count in self._delete_parts():
            counts[name] += count
            # Looking where there is nothing may take long, too, and must not be begun for ever.
            if count and self.clock.now() - started >= self.retention.turn:
                return Snoozed(timedelta(), "more may have expired", dict(+counts))
        deleted = dict(+counts)
        if deleted:
            log.info("expired_purged", **deleted)
        return Done(deleted)

    def _delete_parts(self) -> Iterator[tuple[str, int]]:
        """What each transaction deleted; the next one begins when it is asked for."""
        for count in self._purge_evicted():
            yield "memories", count
        for name, (expire, period) in self._expiring().items():
            for count in self._delete(expire, self.clock.now() - period):
                yield name, count

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

    def _delete(self, expire: Expire, before: datetime) -> Iterator[int]:
        found = self.retention.batch
        while found == self.retention.batch:
            found = expire(before, self.retention.batch)
            yield found

    def _purge_evicted(self) -> Iterator[int]:
        """Evicted memories whose grace is over, what they superseded first."""
        before = self.clock.now() - self.decay.grace
        while keys := self.fading.find_purgeable(before, self.decay.batch):
            gone = self.fading.purge_memories(keys, self.clock.now())
            if not gone:
                break  # somebody is at them; the next run sees what is left
            yield gone
