"""How long anybody waits for a table."""

from __future__ import annotations

import threading
from typing import Self

import psycopg

_LOOK_SECONDS = 0.02
_WAITING = """
SELECT coalesce(extract(epoch FROM max(clock_timestamp() - waitstart)), 0)::float8
FROM pg_locks WHERE NOT granted AND locktype = 'relation'
"""


class LockWatch:
    """Looks all the time, as a context manager.

    Attributes:
        longest_seconds: The longest wait for a table that was seen.
    """

    def __init__(self, url: str) -> None:
        self.longest_seconds = 0.0
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lock-watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with psycopg.connect(self._url, autocommit=True) as connection:
            while not self._stop.wait(_LOOK_SECONDS):
                (seconds,) = connection.execute(_WAITING).fetchone() or (0.0,)
                self.longest_seconds = max(self.longest_seconds, seconds)
