"""How API keys are checked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """What is remembered of keys between two requests.

    Attributes:
        cached_for: A key that was found valid is not looked up again for so long: so long a
            revoked one may still be taken by a process that has just seen it.
        max_cached: As many keys a process remembers; the one seen first goes first.
        use_noted_every: When it was used last is written no more often.
        grace: So long a key lives on beside the one that replaces it.
    """

    cached_for: timedelta = timedelta(seconds=2)
    max_cached: int = 1_000
    use_noted_every: timedelta = timedelta(minutes=1)
    grace: timedelta = timedelta(hours=1)
