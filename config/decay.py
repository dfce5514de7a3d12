"""How memories that nobody uses fade."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class DecayPolicy:
    """When a memory has faded, and how it is evicted.

    What happened once fades first; what somebody is or prefers stays true for years. With the
    values below a memory of medium importance that is never used fades after 84 days as an event
    and after 2.8 years as a profile.

    Attributes:
        half_life: Of a kind that ``half_lives`` does not name, at importance 0.5.
        half_lives: By kind.
        least_share: Of its half-life that a memory has at importance 0; at importance 1 it has
            one whole half-life more than that.
        threshold: Below this strength a memory has faded.
        grace: So long an evicted memory can be restored.
        batch: Memories evicted by one transaction.
        lock: What takes longer is taken back, so that nobody waits for it, and done in halves.
        pages: Pages of the table that are looked through by one query.
        turn: No further query is begun after this in one turn of the job.
    """

    half_life: timedelta = 30 * _DAY
    half_lives: Mapping[str, timedelta] = field(
        hash=False,
        default_factory=lambda: MappingProxyType(
            {
                "event": 30 * _DAY,
                "outcome": 30 * _DAY,
                "lesson": 60 * _DAY,
                "knowledge": 60 * _DAY,
                "procedure": 90 * _DAY,
                "preference": 180 * _DAY,
                "profile": 365 * _DAY,
            }
        ),
    )
    least_share: float = 0.5
    threshold: float = 0.1
    grace: timedelta = 30 * _DAY
    batch: int = 100
    lock: timedelta = timedelta(milliseconds=80)
    pages: int = 16_384
    turn: timedelta = timedelta(seconds=20)
