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
# Three times the longest lease: whatever a task still holds then, others took over long ago.
STUCK_SECONDS = 900.0
# The loops that are watched.
MESSAGES, INTAKE = "messages", "intake"
# Beat looks at least so often what is due, and shows each time that it gets on.
BEAT_LOOP_SECONDS = 20.0


@dataclass(slots=True)
class Heartbeat:
    """Touches the file while the worker gets on.

    It gets on while each of its loops turns, of messages and of intake, and a slot of its pool is
    not held for ever. Loops stand still, too, while the broker is away: then the worker waits,
    and killing it would bring nothing back.

    Attributes:
        is_broker_there: Asked only when a loop stands still.
        is_pool_stuck: Whether every slot is held by a task that will not end.
    """

    path: Path
    is_broker_there: Callable[[], bool]
    clock: Callable[[], float] = time.monotonic
    is_pool_stuck: Callable[[], bool] = lambda: False
    _turned_at: dict[str, float] = field(default_factory=dict)

    def note_turn(self, loop: str = MESSAGES) -> None:
        """A loop has turned."""
        self._turned_at[loop] = self.clock()

    def beat(self) -> None:
        """Touch the file, unless the worker stands still."""
        if self._gets_on():
            self.path.touch()

    def _gets_on(self) -> bool:
        if self.is_pool_stuck():
            return False
        # Before the first turn it is starting, or waits for a server to start with.
        now, turned_at = self.clock(), list(self._turned_at.values())
        if all(now - at < PATIENCE_SECONDS for at in turned_at):
            return True
        return not self.is_broker_there()


def age_seconds(path: Path) -> float | None:
    """How long ago the worker got on; None if there is no such file."""
    try:
        return max(time.time() - path.stat().st_mtime, 0.0)
    except FileNotFoundError:
        return None
