"""Opening what a process works with while servers are away: waiting, and saying so."""

from __future__ import annotations

import random
from itertools import count
from typing import TYPE_CHECKING, TypeVar

import structlog

from pipelines.errors import DependencyUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

log = structlog.get_logger(__name__)

FIRST_SECONDS, LONGEST_SECONDS, JITTER = 0.5, 10.0, 0.25
# By then the delay is the longest; a larger power would overflow one day.
_STEPS = 30


def open_patiently(
    attempt: Callable[[], T],
    wait: Callable[[float], object],
    note: Callable[[str], None] = lambda _: None,
) -> T:
    """Open it as soon as its servers are there.

    Args:
        attempt: Opens it, or raises ``DependencyUnavailable``; any other error passes.
        wait: Waits so many seconds; what it raises ends the attempts.
        note: Is told what is waited for.
    """
    for number in count(1):
        try:
            return attempt()
        except DependencyUnavailable as error:
            seconds = delay_seconds(number)
            note(str(error))
            log.warning(
                "start_waiting",
                error=str(error),
                attempt=number,
                retry_in_seconds=round(seconds, 1),
            )
            wait(seconds)
    raise AssertionError


def delay_seconds(number: int) -> float:
    """How long the n-th failure (from 1) is waited for: longer each time, up to a bound."""
    steps = min(number - 1, _STEPS)
    delay = min(FIRST_SECONDS * 2.0**steps, LONGEST_SECONDS)
    return delay * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - hides nothing
