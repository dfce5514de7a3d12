"""Threads of a process take the floor one at a time, and leave it while they wait for others.

Python runs one thread at a time whatever they do. Where dozens have something to do, it takes the
processor from each of them in the middle of it, at every statement that waits for an answer and
each few milliseconds, and the switching and what it drives out of the caches cost a fifth of all
work. So a thread that works has the floor until somebody else's answer is not there at once: a
model's, or that of a database that is far or has to wait itself. Then it leaves the floor. When it
comes back it goes before those who have not begun: it may hold what they need.

Nothing but speed depends on it: whoever keeps it for half a second while others wait, because he is
stuck or busy with something long, has lost it to the next in line and goes on beside him.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STUCK_SECONDS = 0.5


class Floor:
    """Who works, and who is in line for it: first who comes back, and first who came first.

    Args:
        stuck_seconds: After so long whoever has it has lost it to the next one.
    """

    def __init__(self, stuck_seconds: float = STUCK_SECONDS) -> None:
        self._stuck_seconds = stuck_seconds
        self._lock = threading.Lock()
        # Each waits for the lock that is his place; it is opened when his turn has come.
        self._coming_back: deque[threading.Lock] = deque()
        self._coming: deque[threading.Lock] = deque()
        self._holder: threading.Lock | None = None
        self._mine = threading.local()

    @property
    def is_mine(self) -> bool:
        """Whether this thread has taken it."""
        return getattr(self._mine, "place", None) is not None

    @contextmanager
    def taken(self) -> Iterator[None]:
        """This thread has it in the block; nothing changes where it has it already."""
        if self.is_mine:
            yield
            return
        self._take(self._coming)
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def left(self) -> Iterator[None]:
        """Others have it in the block; nothing changes for a thread that has not taken it."""
        if not self.is_mine:
            yield
            return
        self._leave()
        try:
            yield
        finally:
            self._take(self._coming_back)

    def _take(self, line: deque[threading.Lock]) -> None:
        place = threading.Lock()
        place.acquire()
        with self._lock:
            line.append(place)
            if self._holder is None:
                self._admit_next()
            ahead = self._holder
        while not place.acquire(timeout=self._stuck_seconds):
            with self._lock:
                if self._holder is ahead:
                    self._admit_next()
                ahead = self._holder
        self._mine.place = place

    def _leave(self) -> None:
        place, self._mine.place = self._mine.place, None
        with self._lock:
            if self._holder is place:
                self._admit_next()

    def _admit_next(self) -> None:
        line = self._coming_back or self._coming
        self._holder = line.popleft() if line else None
        if self._holder is not None:
            self._holder.release()


# One for each process, as the interpreter is.
floor = Floor()
