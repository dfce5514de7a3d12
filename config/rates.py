"""How many transcripts of a tenant are taken up in a minute; more than that waits its time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from config.budgets import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Rate:
    """One transcript each ``interval`` in the long run, and ``burst`` of them at once."""

    interval: timedelta
    burst: int


@dataclass(frozen=True, slots=True)
class RatePolicy:
    """The rates of tenants; None is as fast as the workers are.

    Attributes:
        default: Of every tenant that ``tenants`` does not name.
    """

    default: Rate | None = None
    tenants: Mapping[str, Rate | None] = field(default_factory=dict)

    def rate_of(self, tenant_id: str) -> Rate | None:
        """What holds for a tenant."""
        return self.tenants.get(tenant_id, self.default)


class RateSetting(BaseModel):
    """``{"per_minute": 60, "burst": 20}``; without a burst, a minute's worth."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_minute: float = Field(gt=0, allow_inf_nan=False)
    burst: int | None = Field(default=None, ge=1)


class RatesSchema(BaseModel):
    """The default of all tenants, and what is different for some; null does not limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    default: RateSetting | None = None
    tenants: dict[str, RateSetting | None] = Field(default_factory=dict)


RatesSetting = Annotated[RatesSchema, NoDecode, BeforeValidator(read_json)]


def make_rate_policy(rates: RatesSchema) -> RatePolicy:
    """The policy that the environment asks for."""
    return RatePolicy(
        default=_rate(rates.default),
        tenants={name: _rate(item) for name, item in rates.tenants.items()},
    )


def _rate(setting: RateSetting | None) -> Rate | None:
    if setting is None:
        return None
    burst = setting.burst or max(1, round(setting.per_minute))
    return Rate(MINUTE / setting.per_minute, burst)
