"""Reading what is handed out at ``/metrics``."""

from __future__ import annotations

import httpx2

from workers.metrics.reading import Look, read_look


def look(port: int) -> Look:
    """What a process hands out on a port of the loopback; nothing while it does not listen."""
    try:
        return read_look([httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text])
    except httpx2.ConnectError:
        return Look()
