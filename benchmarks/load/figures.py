"""What is measured, beside what it is measured against."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Bound(StrEnum):
    """On which side of its limit a figure shall be."""

    AT_MOST = "at most"
    AT_LEAST = "at least"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured thing.

    Attributes:
        name: What was measured; the same in every run, so that runs can be compared.
        unit: Of the value: ``ms``, ``/s``, ``MB``, or ``x`` for a ratio.
        ceiling: What the bare part took in the same run, in the same unit; None without one.
        limit: What it shall keep; None where it is only told.
        bound: On which side of the limit.
    """

    name: str
    value: float
    unit: str
    ceiling: float | None = None
    limit: float | None = None
    bound: Bound = Bound.AT_MOST

    @property
    def ratio(self) -> float | None:
        """The value in terms of its ceiling."""
        return self.value / self.ceiling if self.ceiling else None

    @property
    def is_met(self) -> bool:
        """Whether it keeps its limit, or has none."""
        if self.limit is None:
            return True
        is_within = self.value <= self.limit
        return is_within if self.bound is Bound.AT_MOST else self.value >= self.limit


def share(name: str, value: float, ceiling: float, limit: float, bound: Bound) -> Figure:
    """A ratio of two measurements that shall keep a limit."""
    return Figure(name, value / ceiling, "x", limit=limit, bound=bound)


def quantile(seconds: list[float], part: float) -> float:
    """Milliseconds that so large a part of them stayed below."""
    ordered = sorted(seconds)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] * 1e3
