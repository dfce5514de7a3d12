"""Prices and budgets as the environment spells them: JSON, read without a detour over floats."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_settings import NoDecode

from config.spending import Budget, BudgetPolicy, Budgets, Limit, Price

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

MICRO = 1_000_000


def read_json(value: object) -> Any:  # noqa: ANN401 - checked by the model that follows
    """A setting that is given as text, read as JSON; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value, parse_float=Decimal)
    except json.JSONDecodeError as error:
        raise ValueError(f"is no JSON (character {error.pos}: {error.msg})") from None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PriceSetting(_Part):
    """Of one model, per million tokens."""

    prompt: Decimal = Field(ge=0)
    completion: Decimal = Field(ge=0)


class LimitSetting(_Part):
    """In money, in tokens, or both; whichever is reached first counts."""

    money: Decimal | None = Field(default=None, ge=0, decimal_places=6)
    tokens: int | None = Field(default=None, ge=0)


class BudgetSetting(_Part):
    """For one UTC day."""

    soft: LimitSetting = Field(default_factory=LimitSetting)
    hard: LimitSetting = Field(default_factory=LimitSetting)

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        for name in ("money", "tokens"):
            soft, hard = getattr(self.soft, name), getattr(self.hard, name)
            if soft is not None and hard is not None and soft > hard:
                raise ValueError(f"soft.{name} is above hard.{name}: nobody would be warned")
        return self


class TenantSetting(_Part):
    """What is left out is as in ``default``; an empty budget limits nothing."""

    tenant_day: BudgetSetting | None = None
    user_day: BudgetSetting | None = None


class BudgetsSchema(_Part):
    """The default of all tenants, and what is different for some."""

    default: TenantSetting = Field(default_factory=TenantSetting)
    tenants: dict[str, TenantSetting] = Field(default_factory=dict)


PricesSetting = Annotated[dict[str, PriceSetting], NoDecode, BeforeValidator(read_json)]
BudgetsSetting = Annotated[BudgetsSchema, NoDecode, BeforeValidator(read_json)]


def make_budget_policy(
    prices: Mapping[str, PriceSetting], budgets: BudgetsSchema, recheck: timedelta
) -> BudgetPolicy:
    """The policy, with the budgets of each tenant that is named written out in full."""
    default = _budgets(budgets.default, Budgets())
    return BudgetPolicy(
        prices={name: Price(item.prompt, item.completion) for name, item in prices.items()},
        default=default,
        tenants={name: _budgets(item, default) for name, item in budgets.tenants.items()},
        recheck=recheck,
    )


def _budgets(setting: TenantSetting, default: Budgets) -> Budgets:
    return Budgets(
        tenant_day=_budget(setting.tenant_day, default.tenant_day),
        user_day=_budget(setting.user_day, default.user_day),
    )


def _budget(setting: BudgetSetting | None, default: Budget) -> Budget:
    return default if setting is None else Budget(_limit(setting.soft), _limit(setting.hard))


def _limit(setting: LimitSetting) -> Limit:
    micros = None if setting.money is None else int(setting.money * MICRO)
    return Limit(micros, setting.tokens)
