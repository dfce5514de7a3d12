"""A file whose age says whether a worker gets on, for whoever restarts one that does not."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BEAT_SECONDS = 5.0
# A machine may be busy; a worker that stands still for so long does so for good.
PATIENCE_SECONDS = 60.0


@dataclass(slots=True)
class Heartbeat:
    """Touches the file while the worker gets on.

    It gets on while its loop of messages turns. That loop stands still, too, while the broker is
    away: then the worker waits, and killing it would bring nothing back.

    Attributes:
        is_broker_there: Asked only when the loop stands still.
    """

    path: Path
    is_broker_there: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    _turned_at: float | None = field(default=None)

    def note_turn(self) -> None:
        """The loop of messages has turned."""
        self._turned_at = self.clock()

    def beat(self) -> None:
        """Touch the file, unless the worker stands still."""
        if self._gets_on():
            self.path.touch()

    def _gets_on(self) -> bool:
        # Before the first turn it is starting, or waits for a server to start with.
        if self._turned_at is None or self.clock() - self._turned_at < PATIENCE_SECONDS:
            return True
        return not self.is_broker_there()


def age_seconds(path: Path) -> float | None:
    """How long ago the worker got on; None if there is no such file."""
    try:
        return max(time.time() - path.stat().st_mtime, 0.0)
    except FileNotFoundError:
        return None
