"""Purging: what retention says has expired is deleted for good."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.outcome import Done, Outcome

if TYPE_CHECKING:
    from config.decay import DecayPolicy
    from pipelines.ports import Clock, FadingStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Purge:
    """Deletes what has expired, in bounded batches; repeating it changes nothing."""

    fading: FadingStore
    clock: Clock
    decay: DecayPolicy

    def run(self) -> Outcome:
        """Delete what may go."""
        counts = {"memories": self._purge_evicted()}
        if any(counts.values()):
            log.info("expired_purged", **counts)
        return Done(counts)

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
