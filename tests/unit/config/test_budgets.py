"""Prices and budgets as the environment spells them."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal

import pytest
from pydantic import ValidationError

from config.settings import Settings
from config.spending import Budget, Budgets, Limit, Price


def read(monkeypatch: pytest.MonkeyPatch, **given: object) -> Settings:
    for name in ("PRICES", "BUDGETS"):
        monkeypatch.delenv(f"MEMSTILL_{name}", raising=False)
    for name, value in given.items():
        text = value if isinstance(value, str) else json.dumps(value)
        monkeypatch.setenv(f"MEMSTILL_{name.upper()}", text)
    return Settings()


def test_settings_limit_nothing_when_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without prices and budgets every call is made and counted."""
    policy = read(monkeypatch).policies().budget
    assert ({}, Budgets(), {}, False) == (
        policy.prices,
        policy.default,
        policy.tenants,
        policy.is_in_money,
    )


def test_prices_are_exact_decimals(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.1 is a tenth, and not what binary makes of it."""
    free = '{"prompt": 0, "completion": 0}'
    given = f'{{"gpt-4o-mini": {{"prompt": 0.1, "completion": 0.60}}, "free": {free}}}'
    prices = read(monkeypatch, prices=given).policies().budget.prices
    assert {
        "gpt-4o-mini": Price(Decimal("0.1"), Decimal("0.60")),
        "free": Price(Decimal(0), Decimal(0)),
    } == prices


def test_tenant_inherits_what_it_does_not_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A budget that is named for a tenant takes the place of the default; an empty one lifts it."""
    given = {
        "default": {
            "tenant_day": {"soft": {"money": 4}, "hard": {"money": 5.5, "tokens": 1_000}},
            "user_day": {"hard": {"tokens": 100}},
        },
        "tenants": {"acme": {"tenant_day": {"hard": {"tokens": 9}}}, "big": {"user_day": {}}},
    }
    policy = read(monkeypatch, budgets=given).policies().budget
    tenant_day = Budget(Limit(4_000_000), Limit(5_500_000, 1_000))
    user_day = Budget(hard=Limit(tokens=100))
    assert Budgets(tenant_day, user_day) == policy.budgets_of("any")
    assert Budgets(Budget(hard=Limit(tokens=9)), user_day) == policy.budgets_of("acme")
    assert Budgets(tenant_day, Budget()) == policy.budgets_of("big")
    assert policy.is_in_money


def test_recheck_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """How soon a raised budget is noticed."""
    policy = read(monkeypatch, budget_recheck_seconds="7").policies().budget
    assert timedelta(seconds=7) == policy.recheck


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"prices": "{"}, ("prices",)),
        ({"prices": "[]"}, ("prices",)),
        ({"prices": {"m": {"prompt": -1, "completion": 1}}}, ("prices", "m", "prompt")),
        ({"prices": {"m": {"prompt": "NaN", "completion": 1}}}, ("prices", "m", "prompt")),
        ({"prices": {"m": {"prompt": 1}}}, ("prices", "m", "completion")),
        ({"prices": {"m": {"prompt": 1, "completion": 1, "x": 1}}}, ("prices", "m", "x")),
        ({"budgets": {"defaults": {}}}, ("budgets", "defaults")),
        (
            {"budgets": {"default": {"tenant_day": {"hard": {"tokens": -1}}}}},
            ("budgets", "default", "tenant_day", "hard", "tokens"),
        ),
        (
            {"budgets": {"default": {"user_day": {"hard": {"money": 0.0000001}}}}},
            ("budgets", "default", "user_day", "hard", "money"),
        ),
        (
            {
                "budgets": {
                    "tenants": {"a": {"user_day": {"soft": {"tokens": 9}, "hard": {"tokens": 8}}}}
                }
            },
            ("budgets", "tenants", "a", "user_day"),
        ),
    ],
)
def test_setting_is_refused_with_the_field_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, object], place: tuple[str, ...]
) -> None:
    """Whoever mistypes a budget reads where, and no limit is silently left out."""
    with pytest.raises(ValidationError) as caught:
        read(monkeypatch, **given)
    assert [place] == [error["loc"] for error in caught.value.errors()]
