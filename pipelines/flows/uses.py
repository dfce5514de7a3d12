"""Counting uses: noted where that is fast, written down once a minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.outcome import Done, Outcome, Skipped

if TYPE_CHECKING:
    from pipelines.ports import Clock, UseCounter, UseStore, Waker

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class CountUses:
    """Writes down what was counted; a crash at any place counts nothing twice."""

    counter: UseCounter
    store: UseStore
    waker: Waker
    clock: Clock

    def run(self) -> Outcome:
        """Write down what was counted until now; what an earlier run left goes first."""
        used = back = 0
        while (counted := self.counter.take()) is not None:
            used += sum(counted.uses.values())
            back += self.store.add_uses(counted, self.clock.now())
            self.counter.drop(counted.batch)
        if back:
            log.info("memories_came_back", memories=back)
            self.waker.wake_index()
        return Done({"uses": used, "restored": back}) if used else Skipped("nothing was recalled")
