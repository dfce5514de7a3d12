"""The threads in which this process does its tasks, if it is a worker that has any."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

from celery.worker import state

from workers.queues import is_served_by

if TYPE_CHECKING:
    from celery import Celery


# malloc.h of glibc.
_M_ARENA_MAX = -8
_HEAPS = 2


class ThreadPool:
    """Of which wake-ups and how many at once; of none and nothing in any other process."""

    def __init__(self) -> None:
        self._threads = 0

    def open(self, threads: int) -> None:
        """From now on this process is such a worker."""
        self._threads = threads
        _share_heaps()

    def has_idle_thread(self) -> bool:
        """Whether there is a thread for one more wake-up."""
        # Those that were fetched and wait for a thread count, too.
        return len(state.reserved_requests) < self._threads

    def serves(self, app: Celery, task: str) -> bool:
        """Whether it takes such wake-ups."""
        return self._threads > 0 and is_served_by(app, task)


def _share_heaps() -> None:
    """Have the threads allocate from two heaps; by itself glibc makes eight for each core.

    What is freed in a heap is of use to its own threads alone, so a process would hold more the
    more threads it has. Other C libraries have nothing to set.
    """
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is not None and "MALLOC_ARENA_MAX" not in os.environ:
        set_option(_M_ARENA_MAX, _HEAPS)


def is_stopping() -> bool:
    """Whether the worker was told to end when its tasks have ended."""
    # Celery's own signs: an exit code, once there is one, which may be 0.
    signs = (state.should_stop, state.should_terminate)
    return any(sign is not None and sign is not False for sign in signs)


# One for each process, as the state of the worker is.
pool = ThreadPool()
