"""Showing what model calls have cost a tenant, and how its budgets stand today."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pipelines.stages.cost import Span, Spent, Standing, spans_of, stand, utc_day

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from config.spending import Budget, BudgetPolicy
    from pipelines.ports import Clock, CostReport, Inbox, Ledger

ENTRIES = 1_000
WEEK = timedelta(days=6)


@dataclass(frozen=True, slots=True)
class BudgetState:
    """How one budget stands today; ``user_id`` is None where all users share it."""

    span: Span
    user_id: str | None
    budget: Budget
    spent: Spent
    standing: Standing


@dataclass(frozen=True, slots=True)
class Costs:
    """What ``memstill cost`` shows.

    Attributes:
        budgets: Of the tenant, and of the user who was asked for or, if nobody was, of the users
            who have used up a soft or hard one today.
        parked: How many transcripts of each user wait for a budget.
    """

    today: date
    since: date
    report: CostReport
    budgets: tuple[BudgetState, ...]
    parked: dict[str, int]


@dataclass(frozen=True, slots=True)
class ShowCosts:
    """Reads the ledger of one tenant."""

    ledger: Ledger
    inbox: Inbox
    policy: BudgetPolicy
    clock: Clock

    def run(self, tenant_id: str, user_id: str | None, since: date | None) -> Costs:
        """What was paid since a day; without one, on the last seven."""
        today = utc_day(self.clock.now())
        start = since or today - WEEK
        parked = self.inbox.count_parked(tenant_id)
        return Costs(
            today=today,
            since=start,
            report=self.ledger.report(tenant_id, user_id, start, ENTRIES),
            budgets=tuple(self._budgets(tenant_id, user_id, today)),
            parked={
                name: count for name, count in sorted(parked.items()) if user_id in {None, name}
            },
        )

    def _budgets(self, tenant_id: str, user_id: str | None, today: date) -> Iterator[BudgetState]:
        for span, budget in spans_of(self.policy.budgets_of(tenant_id)):
            if span is Span.TENANT_DAY:
                spent = self.ledger.spent_on(tenant_id, None, today)
                yield BudgetState(span, None, budget, spent, stand(budget, spent))
            elif user_id is not None:
                spent = self.ledger.spent_on(tenant_id, user_id, today)
                yield BudgetState(span, user_id, budget, spent, stand(budget, spent))
            else:
                yield from self._used_up(tenant_id, budget, today)

    def _used_up(self, tenant_id: str, budget: Budget, today: date) -> Iterator[BudgetState]:
        spent: dict[str, Spent] = {}
        for entry in self.ledger.report(tenant_id, None, today, ENTRIES).entries:
            name = entry.owner.user_id
            spent[name] = spent.get(name, Spent()) + entry.spent
        for name in sorted(spent):
            standing = stand(budget, spent[name])
            if standing is not Standing.WITHIN:
                yield BudgetState(Span.USER_DAY, name, budget, spent[name], standing)
