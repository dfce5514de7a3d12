"""Trying again: how long failed work waits, and results that wait for the store."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from pipelines.errors import DependencyUnavailable, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from config.operation import RetryPolicy

T = TypeVar("T")

JITTER = 0.25
FIRST_SECONDS, LONGEST_SECONDS = 0.05, 2.0
# A larger power of whatever factor overflows one day.
_STEPS = 30


def delay_after(attempt: int, policy: RetryPolicy) -> timedelta:
    """How long work waits after its n-th failure (from 1): longer each time, up to a bound.

    Jittered, so that what failed together does not come back together.
    """
    steps = min(attempt - 1, _STEPS)
    # Compared as numbers: as a time the product is too long for any calendar.
    delay = policy.base * min(policy.factor**steps, policy.longest / policy.base)
    return delay * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - hides nothing


def delay_after_error(error: Exception, attempt: int, policy: RetryPolicy) -> timedelta:
    """How long work waits that met an error: an outage until it may be over, and not longer.

    Never shorter than what the server asked for.
    """
    asked = timedelta(seconds=_asked_seconds(error))
    if is_outage(error):
        return asked + policy.base * random.uniform(0, JITTER)  # noqa: S311 - hides nothing
    return max(delay_after(attempt, policy), asked)


def is_outage(error: Exception) -> bool:
    """Whether an error says nothing about the work that met it."""
    return isinstance(error, DependencyUnavailable) and error.is_outage


def _asked_seconds(error: Exception) -> float:
    asked = error.retry_after_seconds if isinstance(error, DependencyUnavailable) else None
    return asked or 0.0


def insist(write: Callable[[], T], patience: timedelta) -> T:
    """Repeat a write that is safe to repeat until the store took it, for so long at most.

    Raises:
        StoreUnavailable: It stayed away.
    """
    attempts = Retrying(
        retry=retry_if_exception_type(StoreUnavailable),
        wait=wait_random_exponential(multiplier=FIRST_SECONDS, max=LONGEST_SECONDS),
        stop=stop_after_delay(patience),
        reraise=True,
    )
    return attempts(write)
