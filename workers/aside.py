"""Doing what nobody shall wait for, behind the caller's back."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

log = structlog.get_logger(__name__)

MAX_WAITING = 1_000
CLOSE_SECONDS = 1.0


class Aside:
    """One thread that makes calls in the order in which they were handed over.

    What does not fit any more, while a server hangs, is lost.
    """

    def __init__(self, name: str, limit: int = MAX_WAITING) -> None:
        self._name = name
        self._calls: queue.Queue[Callable[[], None] | None] = queue.Queue(limit)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def do(self, call: Callable[[], None]) -> bool:
        """Hand a call over; False if it is lost."""
        with self._lock:
            # Not before: a process that forks would leave it behind.
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        try:
            self._calls.put_nowait(call)
        except queue.Full:
            return False
        return True

    def close(self) -> None:
        """Make the calls that are left, for a moment at most; the rest is lost."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            with suppress(queue.Full):
                self._calls.put_nowait(None)
            thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Exception:
                # The calls after it are others' business.
                log.exception("call_failed", thread=self._name)
