"""One table: what an error means for the work that met it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.errors import (
    BadReply,
    DependencyUnavailable,
    ModelRefused,
    StoreRefused,
)
from pipelines.flows.again import delay_after_error, is_outage

if TYPE_CHECKING:
    from datetime import timedelta

    from config.operation import RetryPolicy


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
    # Where others are answered; an outage is nobody's attempt.
    (DependencyUnavailable, Rule(patience=1.0)),
)


def judge(error: Exception, attempt: int, policy: RetryPolicy) -> timedelta | None:
    """Say when to try again after the given attempt (from 1), or None for a dead letter.

    The delay is jittered, so that what failed together does not come back together, and never
    shorter than what the endpoint asked for. An outage uses up no attempt: it is waited out.
    """
    rule = next(rule for kind, rule in RULES if isinstance(error, kind))
    is_last = attempt >= max(1, round(policy.max_attempts * rule.patience))
    return None if is_last and not is_outage(error) else delay_after_error(error, attempt, policy)
