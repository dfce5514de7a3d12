"""Answers about costs, budgets and batches."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from pipelines.ports import BatchOutcome, BatchState, Purpose
from pipelines.stages.cost import Span, Standing
from workers.schemas.answers import Answer, Counts, Money


class Spent(Answer):
    """Tokens, and what they cost."""

    tokens: int
    money: Money


class Limit(Answer):
    """The same as a limit; null is none."""

    tokens: int | None
    money: Money | None


class Entry(Answer):
    """What one user cost on one day, for one purpose, with one model."""

    day: date
    user_id: str
    purpose: Purpose
    model: str
    calls: int
    unpriced_calls: int
    estimated_calls: int
    prompt_tokens: int
    completion_tokens: int
    money: Money | None


class BudgetShown(Answer):
    """How a budget stands today."""

    budget: Span
    user_id: str | None
    standing: Standing
    spent: Spent
    soft: Limit
    hard: Limit


class Cost(Answer):
    """What model calls have cost, and what waits for a budget."""

    today: date
    since: date
    entries: list[Entry]
    is_whole: bool
    calls: int
    unpriced_calls: int
    total: Spent
    budgets: list[BudgetShown]
    parked: Counts


class BatchShown(Answer):
    """A batch of model calls."""

    id: UUID
    state: BatchState
    outcome: BatchOutcome | None
    provider_id: str | None
    created_at: datetime
    deadline_at: datetime
    ended_at: datetime | None
    last_error: str | None
    requests: int
    answered: int
    failed: int


class Batches(Answer):
    """A page, the newest first; ``next`` is the ``after`` of the following one."""

    is_on: bool
    batches: list[BatchShown]
    next: UUID | None


class Polled(Answer):
    """How many batches ended, and how many were opened."""

    ended: int
    opened: int
