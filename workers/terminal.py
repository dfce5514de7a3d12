"""What people see in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from memstill_client import FactReport, Status
    from workers.backfill import Backfill

STYLES = {"inserted": "green", "reinforced": "cyan", "refused": "red", "pending": "yellow"}
STATE_STYLES = {"dead": "red", "parked": "yellow"}
SHOWN_REFUSALS = 20


def status_view(status: Status) -> RenderableType:
    """A receipt with what became of each fact."""
    head = Text.assemble(
        ("session ", "dim"),
        status.session_id,
        ("   state ", "dim"),
        (status.state, STATE_STYLES.get(status.state, "bold")),
        ("   attempts ", "dim"),
        str(status.attempts),
    )
    notes = [
        Text(f"{name}: {value}", style=STATE_STYLES.get(status.state, "red"))
        for name, value in (("reason", status.reason), ("last error", status.last_error))
        if value
    ]
    if status.reason == "batched" and status.due_at:
        notes.append(Text(f"waits for a batch, until {status.due_at:%Y-%m-%d %H:%M} UTC at most"))
    if status.state == "parked" and status.due_at:
        notes.append(Text(f"goes on by itself: looked at again {status.due_at:%Y-%m-%d %H:%M} UTC"))
    if status.redactions:
        notes.append(Text(f"redacted before anything was stored: {_counts(status.redactions)}"))
    return Group(head, *notes, facts_table(status.facts))


def facts_table(facts: tuple[FactReport, ...]) -> RenderableType:
    """Facts with their outcome; refused ones with the reason."""
    if not facts:
        return Text("no facts", style="dim")
    table = _plain_table("outcome", "kind", "statement")
    for fact in facts:
        outcome = fact.outcome + (f": {fact.reason}" if fact.reason else "")
        table.add_row(
            Text(outcome, style=STYLES.get(fact.outcome, "")),
            Text(fact.kind, style="dim"),
            Text(fact.statement),
        )
    return table


def memory_sheet(memory: dict[str, Any]) -> RenderableType:
    """A memory with its validity and its quotes."""
    slot = f"   {memory['attribute']}: {memory['value']}" if memory["attribute"] else ""
    head = Text(memory["statement"], style="bold")
    about = [_standing(memory), memory["scope"], memory["kind"], f"{_interval(memory)}{slot}"]
    facts = Text("   ".join(about), style="dim")
    quotes = [
        Text(f"  {item['said_at'][:10]}  {item['speaker']}: “{item['quote']}”")
        for item in memory["evidence"]
    ]
    if memory["scope"] == "global":
        quotes.append(Text(f"  {memory['users']} users of the tenant say it"))
    return Group(head, facts, *quotes)


def history_sheet(history: dict[str, Any]) -> RenderableType:
    """The values of a slot one after another, and what happened to the memory asked for."""
    asked = history["memory"]["id"]
    timeline = [
        line
        for memory in history["timeline"]
        for line in _held(memory, is_asked=asked == memory["id"])
    ]
    events = _plain_table("at", "event", "state", "scope", "reason")
    for event in history["events"]:
        events.add_row(
            event["at"][:19].replace("T", " "),
            event["name"],
            event["state"],
            event["scope"],
            event["reason"] or "",
        )
    return Group(*timeline, Text(""), events)


def _held(memory: dict[str, Any], *, is_asked: bool) -> tuple[Text, Text]:
    """Two lines: a statement can be long, and an id is copied in one piece."""
    mark = "→ " if is_asked else "  "
    about = f"{_interval(memory)}   {_standing(memory)}   "
    return (
        Text.assemble(mark, about, (memory["id"], "dim")),
        Text(f"    {memory['statement']}", style="bold" if is_asked else ""),
    )


def _standing(memory: dict[str, Any]) -> str:
    """What it is worth, and whether it is told."""
    words = [memory["state"]]
    words += [f"evicted {memory['evicted_at'][:10]}"] if memory["evicted_at"] else []
    words += ["pinned"] if memory["pinned"] else []
    return ", ".join(words)


def _interval(memory: dict[str, Any]) -> str:
    until = memory["valid_to"][:10] if memory["valid_to"] else "now"
    return f"{memory['valid_from'][:10]} – {until}"  # noqa: RUF001 - an interval, no minus


def _plain_table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in columns:
        table.add_column(name, overflow="fold")
    return table


def backfill_summary(result: Backfill) -> RenderableType:
    """What a backfill did, and what is to be done about what it could not do."""
    lines = [Text(f"{_sentence(result)} in {result.seconds:.1f} s")]
    if result.states:
        lines.append(Text(f"now: {_counts(result.states)}"))
    lines += [
        Text(f"line {refusal.line} refused: {refusal.field}: {refusal.reason}", style="red")
        for refusal in result.refused[:SHOWN_REFUSALS]
    ]
    hidden = len(result.refused) - SHOWN_REFUSALS
    if hidden > 0:
        lines.append(Text(f"… and {hidden} more lines refused", style="red"))
    return Group(*lines)


def _sentence(result: Backfill) -> str:
    if result.duplicate and not result.fresh:
        return f"all {result.duplicate} sessions were known: nothing changed"
    known = f", {result.duplicate} were known" if result.duplicate else ""
    return f"{result.fresh} sessions pushed{known}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
