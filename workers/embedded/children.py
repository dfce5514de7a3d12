"""The processes of memstill itself, as data."""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from workers.embedded.process import GuardedProcess
from workers.embedded.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_CONNECT_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_LIVE = b"HTTP/1.1 200"


@dataclass(frozen=True, slots=True)
class Child:
    """A command that runs beside the servers.

    Attributes:
        env: Added to what the stack gives to every child.
        ready: Whether it does its work; must return soon and is asked until it is true.
        ready_seconds: How long its start may take.
        stop_seconds: How long it may take to end after SIGTERM before it is killed.
        alive: Whether it gives a sign of life; must return soon.
    """

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_seconds: float = 60.0
    stop_seconds: float = 15.0
    alive: Callable[[], bool] = lambda: True


class ChildService(Service):
    """A child under supervision, with the stack's addresses in its environment."""

    def __init__(self, child: Child, directory: Path, log: Path, env: Mapping[str, str]) -> None:
        self._child = child
        self._shared_env = env
        process = GuardedProcess(child.name, directory, log, grace_seconds=child.stop_seconds)
        super().__init__(process, ready_seconds=child.ready_seconds)

    def _prepare(self) -> Sequence[str]:
        return self._child.argv

    def _env(self) -> Mapping[str, str]:
        return {**os.environ, **self._shared_env, **self._child.env}

    def is_alive(self) -> bool:
        return self._child.alive()

    def _answers(self) -> bool:
        return self._child.ready()


def worker_and_beat(data_dir: Path, api_host: str, api_port: int) -> tuple[Child, ...]:
    """One worker that also serves the API, and the clock of the schedules."""
    celery = (sys.executable, "-m", "celery", "-A", "workers.app")
    pool = ("-P", "threads", "-c", "16", "--without-gossip", "--without-mingle")
    schedule = ("--schedule", str(data_dir.absolute() / "beat-schedule"), "--pidfile", "")
    return (
        Child(
            name="worker",
            argv=(*celery, "worker", *pool, "--api"),
            ready=lambda: is_listening(api_host, api_port),
            alive=lambda: is_answering(api_host, api_port),
        ),
        Child(name="beat", argv=(*celery, "beat", *schedule), ready=lambda: True),
    )


def is_listening(host: str, port: int) -> bool:
    """Whether something accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=_CONNECT_SECONDS):
            return True
    except OSError:
        return False


def is_answering(host: str, port: int) -> bool:
    """Whether the API there says that it lives."""
    try:
        with socket.create_connection((host, port), timeout=_ANSWER_SECONDS) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.sendall(b"GET /healthz HTTP/1.0\r\nHost: memstill\r\n\r\n")
            return connection.recv(len(_LIVE)).startswith(_LIVE)
    except OSError:
        return False
