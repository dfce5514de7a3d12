"""The demonstration: some weeks of one user, from pushed sessions to the next prompt."""

from __future__ import annotations

import tempfile
import time
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text

from memstill_client import Memstill, parse_transcript
from workers import terminal
from workers.clock import SystemClock
from workers.laptop import find_free_port, make_stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from memstill_client import Recall, Status, TranscriptV1

USER = "alice"
QUESTION = "Help me to plan the next database upgrade within the budget"
STEP_SECONDS = 60.0


def run_demo(console: Console) -> int:
    """Show the main job on a stack of its own in a temporary directory; 0 if all went well."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="memstill-demo-") as directory:
        _rule(console, "the embedded stack, in a temporary directory")
        stack = make_stack(
            Path(directory),
            find_free_port(),
            lambda line: console.print(f"  {line}"),
            {"MEMSTILL_AUTH": "off"},
        )
        with (
            stack,
            Memstill(api_url=stack.endpoints.api_url, redis_url="", broker_url="") as client,
        ):
            statuses = [_push(console, client, session) for session in _load_sessions()]
            known = sorted(client.memories(USER), key=lambda memory: memory["valid_from"])
            _show_changes(console, known)
            _show_recall(console, client)
    console.print(f"\ndone in {time.monotonic() - started:.1f} s", style="dim")
    return 0 if all(status.state == "done" for status in statuses) else 1


def _load_sessions() -> list[TranscriptV1]:
    text = resources.files("workers").joinpath("demo_sessions.jsonl").read_text(encoding="utf-8")
    now = SystemClock().now()
    return [parse_transcript(line, now=now) for line in text.splitlines()]


def _push(console: Console, client: Memstill, session: TranscriptV1) -> Status:
    _rule(console, f"session {session.session_id}")
    for message in session.messages:
        speaker = message.name or message.role
        console.print(Text.assemble((f"{speaker}: ", "bold"), message.content))
    receipt = client.enqueue(session)
    with console.status("distilling …"):
        status = client.wait(receipt, timeout=STEP_SECONDS)
    console.print()
    console.print(terminal.status_view(status))
    return status


def _show_changes(console: Console, known: list[dict[str, Any]]) -> None:
    _rule(console, "what became of it")
    by_id = {memory["id"]: memory for memory in known}
    for memory in known:
        console.print(_change_line(memory, by_id))


def _change_line(memory: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> Text:
    statement, since = memory["statement"], memory["valid_from"][:10]
    sessions = len({item["session_id"] for item in memory["evidence"]})
    if memory["state"] == "superseded":
        successor = by_id[memory["superseded_by"]]["statement"]
        held = f"({since} to {memory['valid_to'][:10]})"
        return _labelled("superseded", "yellow", f"{statement} {held} → {successor}")
    if memory["scope"] == "session":
        return _labelled("left in session", "dim", f"{statement} (since {since})")
    merged = f", merged from {sessions} sessions" if sessions > 1 else ""
    return _labelled("promoted to user", "green", f"{statement} (since {since}{merged})")


def _labelled(label: str, style: str, text: str) -> Text:
    return Text.assemble((f"{label:<18}", style), text)


def _show_recall(console: Console, client: Memstill) -> None:
    _rule(console, "the next session starts with")
    console.print(f"recall: {QUESTION}\n", style="dim")
    # The index follows the truth within moments; the demonstration waits for the newest.
    recalled = _poll(
        lambda: client.recall(QUESTION, USER),
        lambda found: any("now 800" in memory.statement for memory in found.memories),
    )
    console.print(Text(recalled.block))
    console.print(f"\n{recalled.tokens} tokens", style="dim")


def _poll(ask: Callable[[], Recall], is_enough: Callable[[Recall], bool]) -> Recall:
    deadline = time.monotonic() + STEP_SECONDS
    while True:
        answer = ask()
        if is_enough(answer) or time.monotonic() > deadline:
            return answer
        time.sleep(0.1)


def _rule(console: Console, title: str) -> None:
    console.print()
    console.rule(Text(title, style="bold"), align="left")
