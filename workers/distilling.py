"""Distilling, composed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipelines.flows.distill import Distill
from workers.models import breaker_of_model
from workers.retry import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.policy import Policies
    from config.settings import Settings
    from pipelines.adapters.breaking import Breakers
    from pipelines.ports import Clock, Distillers, Inbox, Waker


def make_check(settings: Settings, breakers: Breakers) -> Callable[[], bool]:
    """Whether it is worth taking a transcript out of the line."""
    if settings.distiller == "offline":
        return lambda: True
    return breaker_of_model(breakers, settings.model_name).may_ask


def make_distill(
    *,
    inbox: Inbox,
    distillers: Distillers,
    waker: Waker,
    clock: Clock,
    policies: Policies,
    may_ask: Callable[[], bool],
) -> Distill:
    """What distills whoever's turn it is."""
    return Distill(
        inbox,
        distillers,
        waker,
        clock,
        lease=policies.lease.distill,
        max_attempts=policies.retry.max_attempts,
        max_deaths=policies.retry.max_deaths,
        judge=partial(judge, policy=policies.retry),
        verbatim=policies.verbatim,
        patience=policies.retry.patience,
        may_ask=may_ask,
    )
