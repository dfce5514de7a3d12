"""Distilling, composed."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from pipelines.flows.distill import Distill
from workers.models import breaker_of_model
from workers.pool import pool
from workers.retry import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.ports import Distillers, Inbox, Waker
    from workers.ground import Ground


def make_check(ground: Ground) -> Callable[[], bool]:
    """Whether it is worth taking a transcript out of the line."""
    if ground.settings.distiller == "offline":
        return lambda: True
    return breaker_of_model(ground.breakers, ground.settings.model_name).may_ask


def make_distill(
    ground: Ground,
    inbox: Inbox,
    distillers: Distillers,
    waker: Waker,
    may_ask: Callable[[], bool],
) -> Distill:
    """What distills whoever's turn it is."""
    policies = ground.policies
    return Distill(
        inbox,
        distillers,
        waker,
        ground.clock,
        lease=policies.lease.distill,
        max_attempts=policies.retry.max_attempts,
        max_deaths=policies.retry.max_deaths,
        judge=partial(judge, policy=policies.retry),
        verbatim=policies.verbatim,
        patience=policies.retry.patience,
        may_ask=may_ask,
        may_spread=pool.has_idle_thread,
    )
