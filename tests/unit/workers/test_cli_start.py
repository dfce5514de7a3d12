"""A command starts at once: what serves is loaded by who serves."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "celery", "fastapi", "mcp", "numpy", "onnxruntime", "openai", "psycopg", "sqlalchemy",
)  # fmt: skip


def test_command_loads_no_part_of_a_server_when_it_only_asks_one() -> None:
    """Half of a second is lost with each of them, by everybody who asks for a memory."""
    loaded = f"import sys, workers.cli; print(*set({HEAVY!r}) & set(sys.modules))"

    said = subprocess.run(
        [sys.executable, "-c", loaded], capture_output=True, text=True, check=True, timeout=60
    )

    assert "" == said.stdout.strip()
