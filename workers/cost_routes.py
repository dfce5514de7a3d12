"""The route that shows what model calls have cost, and how the budgets stand."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query

from pipelines.stages.cost import to_money
from workers.callers import TenantAdmin

if TYPE_CHECKING:
    from config.spending import Limit
    from pipelines.flows.cost import BudgetState, Costs
    from pipelines.ports import Entry
    from pipelines.stages.cost import Spent
    from workers.container import Container


def add_cost_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""

    @api.get("/v1/cost")
    def cost(
        caller: TenantAdmin,
        user_id: Annotated[str | None, Query(min_length=1)] = None,
        since: date | None = None,
    ) -> dict[str, Any]:
        return cost_view(container.costs.run(caller.tenant_id, user_id, since))


def cost_view(costs: Costs) -> dict[str, Any]:
    """Amounts are decimal strings: money is no binary fraction."""
    report = costs.report
    return {
        "today": costs.today,
        "since": costs.since,
        "entries": [_entry_view(entry) for entry in report.entries],
        "is_whole": report.is_whole,
        "calls": report.calls,
        "unpriced_calls": report.unpriced_calls,
        "total": _spent_view(report.total),
        "budgets": [_budget_view(state) for state in costs.budgets],
        "parked": costs.parked,
    }


def _entry_view(entry: Entry) -> dict[str, Any]:
    is_unpriced = entry.unpriced_calls == entry.calls
    return {
        "day": entry.day,
        "user_id": entry.owner.user_id,
        "purpose": entry.purpose.value,
        "model": entry.model,
        "calls": entry.calls,
        "unpriced_calls": entry.unpriced_calls,
        "estimated_calls": entry.estimated_calls,
        "prompt_tokens": entry.prompt_tokens,
        "completion_tokens": entry.completion_tokens,
        "money": None if is_unpriced else str(to_money(entry.micros)),
    }


def _budget_view(state: BudgetState) -> dict[str, Any]:
    return {
        "budget": state.span.value,
        "user_id": state.user_id,
        "standing": state.standing.value,
        "spent": _spent_view(state.spent),
        "soft": _limit_view(state.budget.soft),
        "hard": _limit_view(state.budget.hard),
    }


def _spent_view(spent: Spent) -> dict[str, Any]:
    return {"tokens": spent.tokens, "money": str(to_money(spent.micros))}


def _limit_view(limit: Limit) -> dict[str, Any]:
    money = None if limit.micros is None else str(to_money(limit.micros))
    return {"tokens": limit.tokens, "money": money}
