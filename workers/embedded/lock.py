"""One stack per data directory: a lock that the kernel lets go of with its process."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING

from pipelines.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


class DirectoryLock:
    """The exclusive right to run on a directory; its file says who holds it and stays behind."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: int | None = None

    @property
    def is_held(self) -> bool:
        return self._held is not None

    def acquire(self) -> None:
        """Take it at once.

        Raises:
            ConfigurationError: Another process has it, or the directory cannot be written to.
        """
        descriptor = self._open()
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
            os.close(descriptor)
            raise ConfigurationError(
                f"memstill is already running on {self._directory} (pid {holder}): use --data for "
                "another directory, or stop it"
            ) from None
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._held = descriptor

    def release(self) -> None:
        """Let go of it; nothing happens if it is not held."""
        if self._held is not None:
            os.ftruncate(self._held, 0)
            os.close(self._held)
            self._held = None

    def _open(self) -> int:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            return os.open(self._directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise ConfigurationError(
                f"cannot write to {self._directory} ({problem.strerror}): use --data for another "
                "directory"
            ) from problem
