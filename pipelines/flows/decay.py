"""Decay: what has faded is evicted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import InputError
from pipelines.outcome import Done, Outcome, Snoozed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from config.decay import DecayPolicy
    from pipelines.flows.uses import CountUses
    from pipelines.model import MemoryId
    from pipelines.ports import Clock, FadingStore, Survey, Waker
    from pipelines.stages.decay import Faded

log = structlog.get_logger(__name__)

# So many pages no table has.
_MOST_DIGITS = 9


@dataclass(frozen=True, slots=True)
class Decay:
    """Evicts what has faded: it leaves the index, and can be restored for a while.

    Uses that are counted and not written down yet come first: what somebody used a minute ago
    does not go.
    """

    fading: FadingStore
    uses: CountUses
    waker: Waker
    clock: Clock
    policy: DecayPolicy

    def run(self, position: str | None = None) -> Outcome:
        """Evict over all tenants, in bounded turns.

        Args:
            position: Where the turn before ended.
        """
        started, page = self.clock.now(), _read_position(position)
        if page == 0:
            self.uses.run()
        evicted, after = 0, page
        while True:
            found, following = self._evict_part(after)
            evicted += found
            if following is None:
                break
            after = following
            if self.clock.now() - started >= self.policy.turn:
                self._tell_index(evicted)
                return Snoozed(timedelta(), "more of the table", {"evicted": evicted}, str(after))
        self._tell_index(evicted)
        return Done({"evicted": evicted})

    def survey(self, tenant_id: str) -> Survey:
        """How strong the memories of a tenant are, and how many would go."""
        return self.fading.survey(self.clock.now(), self.policy, tenant_id)

    def list_faded(self, tenant_id: str) -> Iterator[Faded]:
        """What of a tenant would be evicted now, and why; changes nothing."""
        now, position = self.clock.now(), 0
        while True:
            page = self.fading.find_faded(position, now, self.policy, tenant_id)
            yield from page.faded
            if page.position is None:
                return
            position = page.position

    def _evict_part(self, position: int) -> tuple[int, int | None]:
        now = self.clock.now()
        keys, following = self.fading.find_faded_keys(position, now, self.policy)
        evicted = sum(
            self.fading.evict(part, now, self.policy) for part in _parts(keys, self.policy.batch)
        )
        return evicted, following

    def _tell_index(self, evicted: int) -> None:
        if evicted:
            log.info("memories_evicted", memories=evicted)
            self.waker.wake_index()


def _parts(keys: Sequence[MemoryId], size: int) -> Iterator[Sequence[MemoryId]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _read_position(position: str | None) -> int:
    if position is None:
        return 0
    if not (position.isascii() and position.isdecimal() and len(position) <= _MOST_DIGITS):
        raise InputError("position", "is none of this job; run it from the beginning")
    return int(position)
