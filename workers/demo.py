"""The demonstration: some weeks of one user, from pushed sessions to the next prompt."""

from __future__ import annotations

import socket
import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from memstill_client import Memstill, parse_transcript
from workers import terminal
from workers.laptop import HOST, make_stack
from workers.payloads import SystemClock

if TYPE_CHECKING:
    from rich.console import Console

    from memstill_client import Receipt, Status, TranscriptV1

USER = "alice"
QUESTION = "Help me to plan the next database upgrade within the budget"
STEP_SECONDS = 60.0


def run_demo(console: Console) -> int:
    """Show the main job on a stack of its own in a temporary directory; 0 if all went well."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="memstill-demo-") as directory:
        console.rule("memstill: the embedded stack")
        stack = make_stack(Path(directory), _free_port(), lambda line: console.print(f"  {line}"))
        with stack, Memstill(api_url=stack.endpoints.api_url, redis_url="") as client:
            sessions = _load_sessions()
            statuses = [_push(console, client, session) for session in sessions]
            _show_memories(console, client)
            _show_recall(console, client)
    console.print(f"\ndone in {time.monotonic() - started:.1f} s", style="dim")
    return 0 if all(status.state == "done" for status in statuses) else 1


def _load_sessions() -> list[TranscriptV1]:
    text = resources.files("workers").joinpath("demo_sessions.jsonl").read_text(encoding="utf-8")
    now = SystemClock().now()
    return [parse_transcript(line, now=now) for line in text.splitlines()]


def _push(console: Console, client: Memstill, session: TranscriptV1) -> Status:
    console.rule(f"session {session.session_id}")
    for message in session.messages:
        speaker = message.name or message.role
        console.print(Text.assemble((f"{speaker}: ", "bold"), message.content))
    receipt: Receipt = client.enqueue(session)
    with console.status("distilling …"):
        status = client.wait(receipt, timeout=STEP_SECONDS)
    console.print()
    console.print(terminal.status_view(status))
    return status


def _show_memories(console: Console, client: Memstill) -> None:
    console.rule("what memstill knows now")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("scope", "said", "since", "until", "memory"):
        table.add_column(name, overflow="fold")
    known = sorted(client.memories(USER), key=lambda memory: memory["valid_from"])
    for memory in known:
        _add_memory(table, memory)
    console.print(table)


def _add_memory(table: Table, memory: dict[str, Any]) -> None:
    is_current = memory["state"] == "active"
    sessions = {item["session_id"] for item in memory["evidence"]}
    table.add_row(
        memory["scope"],
        f"{len(sessions)} times" if len(sessions) > 1 else "once",
        memory["valid_from"][:10],
        "" if is_current else memory["valid_to"][:10],
        Text(memory["statement"], style="" if is_current else "strike dim"),
    )


def _show_recall(console: Console, client: Memstill) -> None:
    console.rule("the next session starts with")
    console.print(f"recall: {QUESTION}", style="dim")
    deadline = time.monotonic() + STEP_SECONDS
    recalled = client.recall(QUESTION, USER)
    while "800" not in recalled.block and time.monotonic() < deadline:
        time.sleep(0.1)
        recalled = client.recall(QUESTION, USER)
    console.print(Panel(Text(recalled.block), title=f"{recalled.tokens} tokens"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
