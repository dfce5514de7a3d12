"""The PostgreSQL of a data directory on which nothing else runs."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from workers.embedded.lock import DirectoryLock
from workers.embedded.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def resting_database(data_dir: Path) -> Iterator[str]:
    """Its address, as long as the block takes; nobody starts the stack meanwhile.

    Raises:
        ConfigurationError: The stack runs on the directory.
    """
    directory = data_dir.expanduser().absolute()
    lock = DirectoryLock(directory)
    with ExitStack() as undo:
        undo.callback(lock.release)
        lock.acquire()
        log = directory / "logs" / "postgres.log"
        server = PostgresServer(directory / "postgres", log=log)
        undo.callback(server.stop)
        server.end_leftover()
        server.start()
        yield server.url


def has_database(data_dir: Path) -> bool:
    """Whether a stack ever ran on it."""
    return (data_dir.expanduser() / "postgres" / "data").is_dir()
