"""What people see in the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from memstill_client import FactReport, Status
    from workers.backfill import Backfill

STYLES = {"inserted": "green", "reinforced": "cyan", "refused": "red", "pending": "yellow"}
SHOWN_REFUSALS = 20


def status_view(status: Status) -> RenderableType:
    """A receipt with what became of each fact."""
    head = Text.assemble(
        ("session ", "dim"),
        status.session_id,
        ("   state ", "dim"),
        (status.state, "red" if status.state == "dead" else "bold"),
        ("   attempts ", "dim"),
        str(status.attempts),
    )
    notes = [
        Text(f"{name}: {value}", style="red")
        for name, value in (("reason", status.reason), ("last error", status.last_error))
        if value
    ]
    if status.redactions:
        notes.append(Text(f"redacted before anything was stored: {_counts(status.redactions)}"))
    return Group(head, *notes, facts_table(status.facts))


def facts_table(facts: tuple[FactReport, ...]) -> RenderableType:
    """Facts with their outcome; refused ones with the reason."""
    if not facts:
        return Text("no facts", style="dim")
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("outcome", "kind", "statement"):
        table.add_column(name, overflow="fold")
    for fact in facts:
        outcome = fact.outcome + (f": {fact.reason}" if fact.reason else "")
        table.add_row(
            Text(outcome, style=STYLES.get(fact.outcome, "")),
            Text(fact.kind, style="dim"),
            Text(fact.statement),
        )
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
