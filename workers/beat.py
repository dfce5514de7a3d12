"""Beat's scheduler, which shows that it gets on."""

from __future__ import annotations

from typing import Any

from celery.beat import PersistentScheduler

from config.settings import Settings


class NotingScheduler(PersistentScheduler):
    """Touches ``MEMSTILL_HEARTBEAT_FILE`` after each look at what is due.

    Whether a message could be sent makes no difference: beat waits for a broker as workers do.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - celery has no types
        super().__init__(*args, **options)
        self._heartbeat_file = Settings().heartbeat_file

    def tick(self, *args: Any, **options: Any) -> float:  # noqa: ANN401
        """Send what is due; returns the seconds until the next look."""
        seconds: float = super().tick(*args, **options)
        if self._heartbeat_file is not None:
            self._heartbeat_file.touch()
        return seconds
