"""The embedded stack as ``memstill up`` and ``memstill demo`` run it."""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING

from pipelines.adapters.postgres.migrate import migrate
from workers.embedded.children import worker_and_beat
from workers.embedded.endpoints import default_data_dir
from workers.embedded.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

HOST = "127.0.0.1"


def make_stack(
    data_dir: Path | None,
    port: int,
    progress: Callable[[str], None],
    env: Mapping[str, str] | None = None,
) -> Stack:
    """Redis, PostgreSQL, one worker with the index and the API in it, and beat."""
    directory = data_dir or default_data_dir()
    return Stack(
        directory,
        # Nobody else works on it.
        migrate=partial(migrate, contracts=True),
        children=worker_and_beat(directory, HOST, port),
        env=env,
        api_host=HOST,
        api_port=port,
        progress=progress,
    )


def find_free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
