"""One table: what an error means for the work that met it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from pipelines.errors import (
    BadReply,
    DependencyUnavailable,
    ModelRefused,
    ModelUnavailable,
    StoreRefused,
)
from pipelines.flows.again import delay_after

if TYPE_CHECKING:
    from config.policy import RetryPolicy


@dataclass(frozen=True, slots=True)
class Rule:
    """How often work is tried again after an error, relative to the policy.

    Attributes:
        patience: Share of the policy's attempts that this error is given, at least one.
    """

    patience: float


# The first class that fits decides.
RULES: tuple[tuple[type[Exception], Rule], ...] = (
    (StoreRefused, Rule(patience=0)),
    # Asking again in other words may help; asking for ever costs money.
    (BadReply, Rule(patience=0.6)),
    # A wrong key or model name is often put right within the hour.
    (ModelRefused, Rule(patience=1.0)),
    (DependencyUnavailable, Rule(patience=1.0)),
)


def judge(error: Exception, attempt: int, policy: RetryPolicy) -> timedelta | None:
    """Say when to try again after the given attempt (from 1), or None for a dead letter.

    The delay is jittered, so that what failed together does not come back together, and never
    shorter than what the endpoint asked for.
    """
    rule = next(rule for kind, rule in RULES if isinstance(error, kind))
    if attempt >= max(1, round(policy.max_attempts * rule.patience)):
        return None
    return max(delay_after(attempt, policy), _asked_delay(error))


def _asked_delay(error: Exception) -> timedelta:
    if isinstance(error, ModelUnavailable) and error.retry_after_seconds is not None:
        return timedelta(seconds=error.retry_after_seconds)
    return timedelta(0)
