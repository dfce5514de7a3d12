"""Decay: how strong a memory is that is not used, and when it has faded.

The forgetting curve is exponential with a half-life, as in spaced repetition (Settles and Meeder,
"A Trainable Spaced Repetition Model for Language Learning", ACL 2016), and every use adds to what
it falls from with the logarithm of their number.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from config.decay import DecayPolicy
    from pipelines.model import Kind, MemoryId, Owner

_DAY = timedelta(days=1)
# The write counts as the first use: a new memory is not evicted unread.
THE_WRITE = 1
# Where the parts of a survey of strengths begin.
BOUNDS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0, 1.5, 2.0)


@dataclass(frozen=True, slots=True)
class Faded:
    """A memory that is to be evicted, and why.

    Attributes:
        strength: At the moment of the run.
        uses: The write included.
    """

    memory_id: MemoryId
    owner: Owner
    kind: Kind
    statement: str
    importance: float
    strength: float
    idle: timedelta
    uses: int
    half_life: timedelta


@dataclass(frozen=True, slots=True)
class Use:
    """How a memory was used.

    Attributes:
        written_at: When it was written or changed last, by the clock, whenever it was said.
        uses: Recalls that told it, and sessions that said it again.
        used_at: When it was used last; None if never.
    """

    written_at: datetime
    uses: int = 0
    used_at: datetime | None = None

    def idle(self, now: datetime) -> timedelta:
        """How long it was neither written nor used."""
        latest = max(self.written_at, self.used_at or self.written_at)
        return max(now - latest, timedelta())


def half_life_of(kind: Kind, importance: float, policy: DecayPolicy) -> timedelta:
    """In which an unused memory loses half of its strength."""
    return policy.half_lives.get(kind.value, policy.half_life) * (policy.least_share + importance)


def strength(idle: timedelta, uses: int, half_life: timedelta) -> float:
    """What is left of a memory: ``2^(-idle / half_life) * ln(1 + uses)``; 0 if it is long ago.

    Args:
        idle: Since its latest use.
        uses: All of them, ``THE_WRITE`` included.
        half_life: Longer than nothing.
    """
    return float(2.0 ** -(idle / half_life) * math.log1p(uses))


def strength_of(
    use: Use, kind: Kind, importance: float, now: datetime, policy: DecayPolicy
) -> float:
    """The strength of a memory of this kind and importance."""
    half_life = half_life_of(kind, importance, policy)
    return strength(use.idle(now), THE_WRITE + use.uses, half_life)


def describe(found: float, uses: int, idle: timedelta, half_life: timedelta) -> str:
    """Why a memory of this strength is evicted, for whoever asks.

    Args:
        found: Its strength.
        uses: All of them, ``THE_WRITE`` included.
        idle: Since the latest.
        half_life: That of its kind and importance.
    """
    times = uses - THE_WRITE
    used = "never used" if not times else f"used {times} times" if times > 1 else "used once"
    return (
        f"faded to {found:.3f}: {used}, not for {idle / _DAY:.0f} days, at a half-life of "
        f"{half_life / _DAY:.0f} days"
    )


def has_faded(found: float, policy: DecayPolicy) -> bool:
    """Whether a memory of this strength is a candidate for eviction."""
    return found < policy.threshold
