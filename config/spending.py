"""What model calls cost, and what tenants and users may spend in a day."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Price:
    """What one model costs per million tokens, in any one currency.

    The same number is the price of one token in micro-units (millionths) of that currency.
    """

    prompt: Decimal
    completion: Decimal


@dataclass(frozen=True, slots=True)
class Limit:
    """So much in one UTC day, in money (micro-units) or tokens; None does not limit."""

    micros: int | None = None
    tokens: int | None = None

    def __bool__(self) -> bool:
        """Whether it limits anything."""
        return self.micros is not None or self.tokens is not None


@dataclass(frozen=True, slots=True)
class Budget:
    """What may be spent in one UTC day: above ``soft`` is told, above ``hard`` does not happen."""

    soft: Limit = field(default_factory=Limit)
    hard: Limit = field(default_factory=Limit)

    def __bool__(self) -> bool:
        """Whether it limits anything."""
        return bool(self.soft or self.hard)

    @property
    def is_in_money(self) -> bool:
        """Whether it can be kept only for a model that has a price."""
        return self.soft.micros is not None or self.hard.micros is not None


@dataclass(frozen=True, slots=True)
class Budgets:
    """The budgets of a tenant: for all its users together, and for each of them."""

    tenant_day: Budget = field(default_factory=Budget)
    user_day: Budget = field(default_factory=Budget)


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """What model calls cost and may cost.

    Attributes:
        prices: By the name of the model; a model that is not named is counted without money.
        default: Of every tenant that ``tenants`` does not name.
        bytes_per_token: UTF-8 bytes of a request for each token that is set aside for it. English
            prose has over 4, Chinese about 3, hexadecimal about 2: an estimate that is too
            high holds a call back too early near a limit, one too low oversteps the limit.
        completion_allowance: Tokens set aside for an answer.
        hold: What was set aside for a call is free again after this, if its worker died; longer
            than a call can take.
        recheck: Parked work is looked at again this often, so that a budget that was raised is
            noticed.
        batch_share: Of the price, for a call in a batch.
    """

    prices: Mapping[str, Price] = field(default_factory=dict)
    default: Budgets = field(default_factory=Budgets)
    tenants: Mapping[str, Budgets] = field(default_factory=dict)
    bytes_per_token: float = 2.5
    completion_allowance: int = 2_000
    hold: timedelta = timedelta(minutes=5)
    recheck: timedelta = timedelta(minutes=5)
    batch_share: Decimal = Decimal("0.5")

    def budgets_of(self, tenant_id: str) -> Budgets:
        """The budgets of a tenant."""
        return self.tenants.get(tenant_id, self.default)

    @property
    def is_in_money(self) -> bool:
        """Whether any budget can be kept only for models that have a price."""
        return any(
            budgets.tenant_day.is_in_money or budgets.user_day.is_in_money
            for budgets in (self.default, *self.tenants.values())
        )
