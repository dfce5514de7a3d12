"""Trying again: how long failed work waits, and results that wait for the store."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_delay, wait_random_exponential

from pipelines.errors import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from config.policy import RetryPolicy

T = TypeVar("T")

JITTER = 0.25
FIRST_SECONDS, LONGEST_SECONDS = 0.05, 2.0
# By then every delay is the longest; a larger power would overflow one day.
_STEPS = 30


def delay_after(attempt: int, policy: RetryPolicy) -> timedelta:
    """How long work waits after its n-th failure (from 1): longer each time, up to a bound.

    Jittered, so that what failed together does not come back together.
    """
    steps = min(attempt - 1, _STEPS)
    delay = min(policy.base * policy.factor**steps, policy.longest)
    return delay * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - hides nothing


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
