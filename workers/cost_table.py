"""What ``memstill cost`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import RenderableType

    from memstill_client import Cost
    from memstill_client.replies import Amount, BudgetState, CostEntry

STYLES = {"within": "green", "soft": "yellow", "hard": "red"}
COLUMNS = ("day", "user", "purpose", "model", "calls", "prompt", "completion", "money")
NUMBERS = frozenset({"calls", "prompt", "completion", "money"})
SHOWN_USERS = 10


def cost_sheet(cost: Cost) -> RenderableType:
    """Every entry, the sums, how the budgets stand, and what waits for them."""
    if not cost.entries:
        return Group(Text(f"no model call since {cost.since}", style="dim"), *_notes(cost))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in COLUMNS:
        table.add_column(name, justify="right" if name in NUMBERS else "left", overflow="fold")
    for entry in cost.entries:
        table.add_row(*_cells(entry))
    return Group(table, Text(_total(cost), style="bold"), *_notes(cost))


def _cells(entry: CostEntry) -> tuple[Text, ...]:
    is_partial = 0 < entry.unpriced_calls < entry.calls
    money = "no price" if entry.money is None else f"{entry.money}{'+' if is_partial else ''}"
    is_estimated = "~" if entry.estimated_calls else ""
    return (
        Text(str(entry.day)),
        Text(entry.user_id),
        Text(entry.purpose),
        Text(entry.model),
        Text(f"{entry.calls:,}"),
        Text(f"{is_estimated}{entry.prompt_tokens:,}"),
        Text(f"{is_estimated}{entry.completion_tokens:,}"),
        Text(money, style="" if entry.money is not None else "yellow"),
    )


def _total(cost: Cost) -> str:
    shown = "" if cost.is_whole else f" (the first {len(cost.entries):,} entries are shown)"
    unpriced = f", {cost.unpriced_calls:,} of them without a price" if cost.unpriced_calls else ""
    tokens, money = cost.total.tokens, cost.total.money
    calls = f"{cost.calls:,} calls{unpriced}"
    return f"since {cost.since}: {calls}, {tokens:,} tokens, money {money}{shown}"


def _notes(cost: Cost) -> list[Text]:
    notes = [_budget_line(state) for state in cost.budgets]
    if cost.parked:
        notes.append(Text(_parked(cost.parked), style="yellow"))
    return notes


def _parked(counts: dict[str, int]) -> str:
    shown = [f"{name} ({count:,})" for name, count in counts.items()][:SHOWN_USERS]
    hidden = len(counts) - len(shown)
    more = f" and {hidden:,} more users" if hidden else ""
    return f"{sum(counts.values()):,} waiting for a budget: {', '.join(shown)}{more}"


def _budget_line(state: BudgetState) -> Text:
    whose = "all users" if state.user_id is None else f"user {state.user_id}"
    limits = [
        f"{name} {_amount(limit)}"
        for name, limit in (("soft", state.soft), ("hard", state.hard))
        if _amount(limit)
    ]
    return Text.assemble(
        f"budget of today for {whose}: ",
        (state.standing, STYLES.get(state.standing, "")),
        f", {_amount(state.spent)} spent; {'; '.join(limits)}",
    )


def _amount(amount: Amount) -> str:
    tokens = None if amount.tokens is None else f"{amount.tokens:,} tokens"
    money = None if amount.money is None else f"money {amount.money}"
    return ", ".join(part for part in (tokens, money) if part)
