"""When a server counts as away, and how it is waited for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class OutagePolicy:
    """When a server is not asked any more, and when again.

    The n-th probe comes ``first * factor^(n-1)`` after the one before, ``longest`` at most,
    and up to ``jitter`` of that later, so that processes do not come back together.

    Attributes:
        failures: So many in a row, of a process, are an outage.
        recent: Who answered somebody so lately is not away: a failure counts as an attempt.
        probe_lease: A probe that has not ended by then is given up for another.
        patience: After so long a failure counts as an attempt again: what cannot be done for
            days is a dead letter in the end.
    """

    failures: int = 3
    first: timedelta = timedelta(seconds=5)
    factor: float = 2.0
    longest: timedelta = timedelta(seconds=40)
    jitter: float = 0.25
    recent: timedelta = timedelta(minutes=2)
    probe_lease: timedelta = timedelta(minutes=2)
    patience: timedelta = timedelta(days=7)

    def probe_delay(self, number: int) -> timedelta:
        """How long the n-th probe (from 1) is waited for, without jitter."""
        steps = min(number - 1, _STEPS)
        return min(self.first * self.factor**steps, self.longest)


# By then the delay is the longest; a larger power would overflow one day.
_STEPS = 30
