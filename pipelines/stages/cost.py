"""What a model call costs, what is set aside for it, and whether a budget allows it.

Money is counted in whole micro-units (millionths) of the currency of the price table, each call
rounded up: the sum of a day is never below the bill because of rounding.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from decimal import ROUND_CEILING, Decimal
from enum import StrEnum
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from config.spending import Budget, BudgetPolicy, Budgets, Limit, Price

MICRO = Decimal(1_000_000)


class Span(StrEnum):
    """Whose day a budget is."""

    TENANT_DAY = "tenant_day"
    USER_DAY = "user_day"


class Standing(StrEnum):
    """How a day stands against its budget."""

    WITHIN = "within"
    SOFT = "soft"
    HARD = "hard"


@dataclass(frozen=True, slots=True)
class Usage:
    """The tokens of one call."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __bool__(self) -> bool:
        """Whether it says anything: no call uses no token."""
        return self.tokens > 0

    @property
    def tokens(self) -> int:
        """Of request and answer."""
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True)
class Spent:
    """A sum over calls, made or allowed."""

    tokens: int = 0
    micros: int = 0

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.tokens + other.tokens, self.micros + other.micros)


@dataclass(frozen=True, slots=True)
class Charge:
    """One call as it is booked.

    Attributes:
        micros: None where the model has no price.
        is_estimated: The endpoint said nothing about tokens.
    """

    model: str
    usage: Usage
    micros: int | None
    is_estimated: bool

    @property
    def spent(self) -> Spent:
        """What it adds to a day; no money where the model has no price."""
        return Spent(self.usage.tokens, self.micros or 0)


def price_usage(usage: Usage, price: Price, share: Decimal = Decimal(1)) -> int:
    """Micro-units of these tokens at a share of their price, rounded up."""
    exact = usage.prompt_tokens * price.prompt + usage.completion_tokens * price.completion
    return int((exact * share).to_integral_value(ROUND_CEILING))


def count_tokens(size: int, policy: BudgetPolicy) -> int:
    """Tokens that so many bytes of UTF-8 may be, seldom more."""
    return ceil(size / policy.bytes_per_token)


def estimate_call(
    model: str, prompt_bytes: int, policy: BudgetPolicy, *, is_batch: bool = False
) -> Charge:
    """What a call may come to, before it is made."""
    usage = Usage(count_tokens(prompt_bytes, policy), policy.completion_allowance)
    micros = _price(model, usage, policy, is_batch=is_batch)
    return Charge(model, usage, micros, is_estimated=True)


def charge_call(
    estimate: Charge,
    answered: str,
    usage: Usage,
    answer_bytes: int,
    policy: BudgetPolicy,
    *,
    is_batch: bool = False,
) -> Charge:
    """What a call came to, by the usage that was reported or, without one, by its size.

    It goes under the name that the endpoint gives to its model, if that has a price of its own;
    else under the name that was asked for: endpoints answer ``small-2026-03-01`` for ``small``.
    """
    model = answered if answered in policy.prices else estimate.model
    is_estimated = not usage
    if is_estimated:
        usage = Usage(estimate.usage.prompt_tokens, count_tokens(answer_bytes, policy))
    return Charge(model, usage, _price(model, usage, policy, is_batch=is_batch), is_estimated)


def spans_of(budgets: Budgets) -> Iterator[tuple[Span, Budget]]:
    """The budgets that limit anything, the tenant's first."""
    for span, budget in (
        (Span.TENANT_DAY, budgets.tenant_day),
        (Span.USER_DAY, budgets.user_day),
    ):
        if budget:
            yield span, budget


def stand(budget: Budget, spent: Spent) -> Standing:
    """Which limit the spending of a day has reached."""
    if is_used_up(budget.hard, spent):
        return Standing.HARD
    return Standing.SOFT if is_used_up(budget.soft, spent) else Standing.WITHIN


def is_used_up(limit: Limit, spent: Spent) -> bool:
    """Whether the spending of a day has reached the limit."""
    return (limit.tokens is not None and spent.tokens >= limit.tokens) or (
        limit.micros is not None and spent.micros >= limit.micros
    )


def find_breach(limit: Limit, spent: Spent, more: Spent) -> str | None:
    """Say why ``more`` on top of ``spent`` would overstep the limit; None if it would not."""
    if limit.tokens is not None and spent.tokens + more.tokens > limit.tokens:
        return _explain(spent.tokens, limit.tokens, more.tokens, "{:,} tokens")
    if limit.micros is not None and spent.micros + more.micros > limit.micros:
        amounts = (spent.micros / MICRO, limit.micros / MICRO, more.micros / MICRO)
        return _explain(*amounts, "{:,.6f}")
    return None


def describe_breach(span: Span, day: date, breach: str) -> str:
    """What a status says of work that has no room."""
    whose = "the tenant's" if span is Span.TENANT_DAY else "the user's"
    return f"no room in {whose} budget of {day} (UTC): {breach}"


def next_look(now: datetime, policy: BudgetPolicy) -> datetime:
    """When parked work is looked at again: at the next UTC day, or earlier for a raised budget."""
    midnight = datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(), UTC)
    return min(midnight, now + policy.recheck)


def to_money(micros: int) -> Decimal:
    """Micro-units as an amount of the currency."""
    return (micros / MICRO).quantize(Decimal("0.000001"))


def utc_day(now: datetime) -> date:
    """The day on whose account a call at this time goes."""
    return now.astimezone(UTC).date()


def _price(model: str, usage: Usage, policy: BudgetPolicy, *, is_batch: bool) -> int | None:
    price = policy.prices.get(model)
    share = policy.batch_share if is_batch else Decimal(1)
    return None if price is None else price_usage(usage, price, share)


def _explain(spent: Decimal | int, limit: Decimal | int, more: Decimal | int, form: str) -> str:
    said = (
        f"{form.format(spent)} of {form.format(limit)} are spent or set aside, "
        f"this call may take {form.format(more)}"
    )
    return f"{said}; a whole day has less, so the budget must be raised" if more > limit else said
