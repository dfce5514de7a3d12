"""Prices, estimates and what a budget allows."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.spending import Budget, BudgetPolicy, Budgets, Limit, Price
from pipelines.stages.cost import (
    Span,
    Spent,
    Standing,
    Usage,
    charge_call,
    describe_breach,
    estimate_call,
    find_breach,
    next_look,
    price_usage,
    spans_of,
    stand,
    to_money,
    utc_day,
)

PRICE = Price(prompt=Decimal("0.15"), completion=Decimal("0.60"))
POLICY = BudgetPolicy(
    prices={"small": PRICE, "large": Price(Decimal("2.5"), Decimal(10))},
    bytes_per_token=2.5,
    completion_allowance=100,
)
TOKENS = st.integers(0, 10_000_000)


@pytest.mark.parametrize(
    ("usage", "micros"),
    [
        (Usage(1_000_000, 0), 150_000),
        (Usage(0, 1_000_000), 600_000),
        (Usage(11, 7), 6),  # 1.65 + 4.20, rounded up
        (Usage(20, 0), 3),
        (Usage(0, 0), 0),
    ],
)
def test_price_is_per_million_tokens_rounded_up(usage: Usage, micros: int) -> None:
    """Micro-units are whole, and never fewer than the bill."""
    assert micros == price_usage(usage, PRICE)


@given(st.lists(st.builds(Usage, TOKENS, TOKENS), max_size=20))
def test_sum_of_prices_is_never_below_the_bill_nor_far_above(calls: list[Usage]) -> None:
    """Rounding costs less than one micro-unit a call."""
    exact = sum(
        (call.prompt_tokens * PRICE.prompt + call.completion_tokens * PRICE.completion)
        for call in calls
    )
    booked = sum(price_usage(call, PRICE) for call in calls)
    assert exact <= booked < exact + len(calls) + (not calls)


def test_estimate_counts_the_bytes_of_the_request_and_an_allowance() -> None:
    """What is set aside is a number of tokens for both ways, and their price."""
    estimate = estimate_call("small", 1_001, POLICY)
    assert Usage(401, 100) == estimate.usage
    assert (121, True) == (estimate.micros, estimate.is_estimated)
    assert Spent(501, 121) == estimate.spent


def test_estimate_has_no_money_when_the_model_has_no_price() -> None:
    """Nothing is guessed."""
    estimate = estimate_call("unknown", 250, POLICY)
    assert (None, Spent(200, 0)) == (estimate.micros, estimate.spent)


@pytest.mark.parametrize(
    ("asked", "answered", "model", "micros"),
    [
        ("small", "small", "small", 8),
        ("small", "small-2026-03-01", "small", 8),
        ("small", "large", "large", 125),
        ("unknown", "also-unknown", "unknown", None),
    ],
)
def test_charge_goes_under_the_name_that_has_a_price(
    asked: str, answered: str, model: str, micros: int | None
) -> None:
    """The endpoint's own name first, then the name that was asked for, else no money."""
    estimate = estimate_call(asked, 100, POLICY)
    charge = charge_call(estimate, answered, Usage(10, 10), 40, POLICY)
    assert (model, micros, False) == (charge.model, charge.micros, charge.is_estimated)


def test_charge_is_estimated_by_size_when_nothing_was_reported() -> None:
    """An endpoint that reports no usage does not go round the budgets."""
    charge = charge_call(estimate_call("small", 250, POLICY), "small", Usage(), 100, POLICY)
    assert (Usage(100, 40), True) == (charge.usage, charge.is_estimated)


@pytest.mark.parametrize(
    ("limit", "spent", "more", "is_breach"),
    [
        (Limit(tokens=100), Spent(60, 0), Spent(40, 0), False),
        (Limit(tokens=100), Spent(60, 0), Spent(41, 0), True),
        (Limit(micros=100), Spent(9_999, 60), Spent(9_999, 40), False),
        (Limit(micros=100), Spent(0, 60), Spent(0, 41), True),
        (Limit(micros=100, tokens=100), Spent(60, 0), Spent(41, 0), True),
        (Limit(tokens=0), Spent(), Spent(1, 0), True),
        (Limit(), Spent(10**12, 10**12), Spent(1, 1), False),
    ],
)
def test_breach_is_found_when_a_call_would_overstep(
    limit: Limit, spent: Spent, more: Spent, is_breach: bool
) -> None:
    """Up to the limit and not one token or micro-unit beyond."""
    assert is_breach == (find_breach(limit, spent, more) is not None)


def test_breach_says_how_much_of_what() -> None:
    """A status is of use only with numbers in it."""
    tokens = find_breach(Limit(tokens=5_000), Spent(4_100, 0), Spent(1_200, 0))
    money = find_breach(Limit(micros=1_500_000), Spent(0, 1_400_000), Spent(0, 200_000))
    assert "4,100 tokens of 5,000 tokens are spent or set aside, this call may take 1,200" in str(
        tokens
    )
    assert "1.400000 of 1.500000 are spent" in str(money)
    assert "no room in the user's budget of 2026-03-02 (UTC): why" == describe_breach(
        Span.USER_DAY, date(2026, 3, 2), "why"
    )


def test_breach_tells_to_raise_the_budget_when_no_day_has_room() -> None:
    """Waiting for midnight would be in vain."""
    breach = find_breach(Limit(tokens=1_000), Spent(), Spent(1_001, 0))
    assert "must be raised" in str(breach)
    assert "must be raised" not in str(find_breach(Limit(tokens=9), Spent(9, 0), Spent(9, 0)))


@pytest.mark.parametrize(
    ("spent", "standing"),
    [
        (Spent(49, 0), Standing.WITHIN),
        (Spent(50, 0), Standing.SOFT),
        (Spent(0, 70), Standing.SOFT),
        (Spent(99, 99), Standing.SOFT),
        (Spent(100, 0), Standing.HARD),
    ],
)
def test_day_stands_by_the_highest_limit_that_it_reached(spent: Spent, standing: Standing) -> None:
    """Within, above the soft budget, or used up."""
    budget = Budget(soft=Limit(micros=70, tokens=50), hard=Limit(micros=100, tokens=100))
    assert standing is stand(budget, spent)


def test_spans_are_those_that_limit_anything() -> None:
    """A budget without a limit is none."""
    limited = Budget(soft=Limit(tokens=1))
    assert [] == list(spans_of(Budgets()))
    assert [(Span.USER_DAY, limited)] == list(spans_of(Budgets(user_day=limited)))
    both = Budgets(limited, limited)
    assert [Span.TENANT_DAY, Span.USER_DAY] == [span for span, _ in spans_of(both)]


def test_tenant_has_its_own_budgets_or_the_default() -> None:
    """What is written for one tenant is of no other."""
    default, own = Budgets(user_day=Budget(hard=Limit(tokens=1))), Budgets()
    policy = BudgetPolicy(default=default, tenants={"acme": own})
    assert (own, default) == (policy.budgets_of("acme"), policy.budgets_of("other"))


@pytest.mark.parametrize(
    ("hour", "minute", "expected"),
    [
        (9, 0, datetime(2026, 3, 2, 9, 5, tzinfo=UTC)),
        (23, 57, datetime(2026, 3, 3, tzinfo=UTC)),
        (23, 55, datetime(2026, 3, 3, tzinfo=UTC)),
    ],
)
def test_parked_work_is_looked_at_soon_and_at_midnight(
    hour: int, minute: int, expected: datetime
) -> None:
    """A raised budget is noticed within minutes, a new day at its first moment."""
    now = datetime(2026, 3, 2, hour, minute, tzinfo=UTC)
    assert expected == next_look(now, BudgetPolicy(recheck=timedelta(minutes=5)))


def test_day_is_the_one_of_utc() -> None:
    """One o'clock in Berlin is still the day before."""
    berlin = timezone(timedelta(hours=2))
    now = datetime(2026, 7, 2, 1, 0, tzinfo=berlin)
    assert date(2026, 7, 1) == utc_day(now)
    assert datetime(2026, 7, 2, tzinfo=UTC) == next_look(now, BudgetPolicy(recheck=timedelta(1)))


def test_money_is_exact() -> None:
    """No binary fraction comes between the ledger and the reader."""
    assert "0.100001" == str(to_money(100_001))
