"""What a worker does when its broker goes away."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog
from celery.worker.consumer import Consumer

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)


class PatientConsumer(Consumer):  # type: ignore[misc] # celery has no types
    """Connects again, also where giving up the lost connection failed.

    In closing a channel, kombu puts back what was not acknowledged. If the broker is away at that
    moment, it may find its own connection half closed: an AttributeError, which nobody expects
    and which would end the worker. There is nothing to put back: the row keeps the work. The same
    happens to whoever acknowledges, after the worker has connected again, what had come on the
    connection before.
    """

    def on_connection_error_after_connected(self, exc: Exception) -> None:
        try:
            super().on_connection_error_after_connected(exc)
        except AttributeError as error:
            # Nobody has the connection any more from when it is being closed.
            if self.connection is not None:
                raise
            log.warning("lost_connection_left_open", error=str(error))

    def call_soon_ack(
        self, acknowledge: Callable[..., object], *args: object, **options: object
    ) -> object:
        return super().call_soon_ack(partial(_try, acknowledge), *args, **options)


def _try(acknowledge: Callable[..., object], *args: object, **options: object) -> None:
    try:
        acknowledge(*args, **options)
    except AttributeError as error:
        if not _came_on_a_closed_connection(acknowledge):
            raise
        # It is delivered once more, and wakes somebody who finds nothing to do.
        log.warning("acknowledgement_lost", error=str(error))


def _came_on_a_closed_connection(acknowledge: Callable[..., object]) -> bool:
    message = getattr(acknowledge, "__self__", None)
    transport = getattr(getattr(message, "channel", None), "connection", None)
    return transport is None or transport.client is None
