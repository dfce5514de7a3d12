"""How many requests of a tenant are taken on: what is more is told when to come again."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from workers.problems import TOO_MANY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from config.rates import Rate
    from config.requests import RequestPolicy

MAX_REMEMBERED = 10_000


class TooManyRequests(HTTPException):
    """The tenant asks for more than it may."""

    def __init__(self, reason: str, wait_seconds: float) -> None:
        headers = {"Retry-After": str(max(1, ceil(wait_seconds)))}
        super().__init__(TOO_MANY, f"{reason}; wait as Retry-After says", headers)


@dataclass(slots=True)
class _Standing:
    """How a tenant stands; ``allowance`` is what it may ask for at once, as of ``at``."""

    allowance: float
    at: float
    in_flight: int = 0


class Admission:
    """Counts what each tenant has asked for; only for the thread of the event loop."""

    def __init__(
        self, policy: RequestPolicy, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._policy = policy
        self._monotonic = monotonic
        self._standings: dict[str, _Standing] = {}

    @contextmanager
    def admit(self, tenant_id: str) -> Iterator[None]:
        """Take a request on, for as long as the block takes.

        Raises:
            TooManyRequests: Not now.
        """
        rate, now = self._policy.rates.rate_of(tenant_id), self._monotonic()
        standing = self._standing_of(tenant_id, rate, now)
        if standing.in_flight >= self._policy.tenant_in_flight:
            raise TooManyRequests(f"{standing.in_flight} requests of the tenant are under way", 1)
        if rate is not None:
            _spend(standing, rate, now)
        standing.in_flight += 1
        try:
            yield
        finally:
            standing.in_flight -= 1

    def _standing_of(self, tenant_id: str, rate: Rate | None, now: float) -> _Standing:
        known = self._standings.get(tenant_id)
        if known is None:
            if len(self._standings) >= MAX_REMEMBERED:
                self._forget_idle(now)
            known = self._standings[tenant_id] = _Standing(rate.burst if rate else 0, now)
        return known

    def _forget_idle(self, now: float) -> None:
        """Whoever may ask for everything again need not be known."""
        for tenant_id, standing in list(self._standings.items()):
            rate = self._policy.rates.rate_of(tenant_id)
            if not standing.in_flight and (rate is None or _regain(standing, rate, now)):
                del self._standings[tenant_id]


def _regain(standing: _Standing, rate: Rate, now: float) -> bool:
    """Add what time has brought since; whether that is all there is."""
    regained = (now - standing.at) / rate.interval.total_seconds()
    standing.allowance = min(float(rate.burst), standing.allowance + regained)
    standing.at = now
    return standing.allowance >= rate.burst


def _spend(standing: _Standing, rate: Rate, now: float) -> None:
    _regain(standing, rate, now)
    if standing.allowance < 1:
        wait = (1 - standing.allowance) * rate.interval.total_seconds()
        raise TooManyRequests("the tenant asks faster than it may (MEMSTILL_API_RATES)", wait)
    standing.allowance -= 1
