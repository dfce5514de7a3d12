"""What a worker does when its broker goes away."""

from __future__ import annotations

import structlog
from celery.worker.consumer import Consumer

log = structlog.get_logger(__name__)


class PatientConsumer(Consumer):  # type: ignore[misc] # celery has no types
    """Connects again, also where giving up the lost connection failed.

    In closing a channel, kombu puts back what was not acknowledged. If the broker is away at that
    moment, it may find its own connection half closed: an AttributeError, which nobody expects
    and which would end the worker. There is nothing to put back: the row keeps the work.
    """

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        try:
            super().on_connection_error_after_connected(exc)
        except AttributeError as error:
            # Nobody has the connection any more from when it is being closed.
            if self.connection is not None:
                raise
            log.warning("lost_connection_left_open", error=str(error))
