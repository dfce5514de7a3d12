"""What a flow says when it ends without an error."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Done:
    """The work is committed; ``counts`` says how much of what."""

    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Skipped:
    """There was nothing to do: finished before, or held by another worker."""

    reason: str


@dataclass(frozen=True, slots=True)
class Snoozed:
    """The work waits in its row until ``delay`` has passed, and is woken then.

    Attributes:
        counts: What was done of it so far.
        position: Where to go on, for whoever does.
    """

    delay: timedelta
    reason: str
    counts: dict[str, int] = field(default_factory=dict)
    position: str | None = None


Outcome = Done | Skipped | Snoozed
