"""Counting uses without anybody waiting for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from pipelines.errors import QueueUnavailable
from workers.aside import Aside

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from pipelines.model import MemoryId
    from pipelines.ports import CountedUses, UseCounter

log = structlog.get_logger(__name__)


class BackgroundUses:
    """``UseCounter`` whose uses are noted behind the back of whoever recalls.

    A use that cannot be noted is lost: the memory fades as if it had not been told this once.
    """

    def __init__(self, counter: UseCounter) -> None:
        self._counter = counter
        self._aside = Aside("uses")

    def note(self, memories: Collection[MemoryId], now: datetime) -> None:
        if memories and not self._aside.do(lambda: self._note(memories, now)):
            log.warning("uses_lost", memories=len(memories), error="Redis does not answer")

    def take(self) -> CountedUses | None:
        return self._counter.take()

    def drop(self, batch: str) -> None:
        self._counter.drop(batch)

    def close(self) -> None:
        """Note what is left, for a moment at most."""
        self._aside.close()

    def _note(self, memories: Collection[MemoryId], now: datetime) -> None:
        try:
            self._counter.note(memories, now)
        except QueueUnavailable as error:
            log.warning("uses_lost", memories=len(memories), error=str(error))
