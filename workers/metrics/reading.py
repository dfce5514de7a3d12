"""Reading metrics back: one look at one or several processes, and what lies between two."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Labels = frozenset[tuple[str, str]]
Series = tuple[str, Labels]
_LE = "le"


@dataclass(frozen=True, slots=True)
class Look:
    """The samples of several processes: counters as sums, gauges as the greatest.

    Attributes:
        counters: Of each process, so that one that began anew can be told.
        gauges: All that can also fall.
    """

    counters: tuple[Mapping[Series, float], ...] = ()
    gauges: Mapping[Series, float] = field(default_factory=dict)

    def sum(self, name: str, **labels: str) -> float:
        """Of all series with these labels."""
        wanted = labels.items()
        return sum(
            value
            for samples in (*self.counters, self.gauges)
            for (found, has), value in samples.items()
            if found == name and wanted <= has
        )

    def max(self, name: str, **labels: str) -> float:
        """The greatest value of a gauge; 0 if there is none."""
        wanted = labels.items()
        found = (it for (of, has), it in self.gauges.items() if of == name and wanted <= has)
        return max(found, default=0.0)

    def values_of(self, name: str, label: str) -> list[str]:
        """What a label of a metric holds, sorted."""
        samples = (series for part in (*self.counters, self.gauges) for series in part)
        return sorted({dict(has)[label] for found, has in samples if found == name})

    @property
    def names(self) -> set[str]:
        """Of all samples."""
        return {name for part in (*self.counters, self.gauges) for name, _ in part}

    def since(self, before: Look) -> Look:
        """What was added to the counters of the same processes; gauges as they stand now."""
        return Look(
            tuple(
                _added(now, then) for now, then in zip(self.counters, before.counters, strict=True)
            ),
            self.gauges,
        )

    def quantile(self, share: float, name: str, **labels: str) -> float | None:
        """A quantile of a histogram, as finely as its buckets tell; None if it holds nothing."""
        wanted, buckets = labels.items(), defaultdict[float, float](float)
        for samples in self.counters:
            for (found, has), value in samples.items():
                if found == f"{name}_bucket" and wanted <= has:
                    buckets[float(dict(has)[_LE])] += value
        return _quantile(share, sorted(buckets.items()))


def read_look(texts: Iterable[str]) -> Look:
    """One look, from what each process handed out.

    Raises:
        ValueError: A text is not in the format of Prometheus.
    """
    counters, gauges = [], dict[Series, float]()
    for text in texts:
        counted = dict[Series, float]()
        for family in text_string_to_metric_families(text):
            is_gauge = family.type == "gauge"
            for sample in family.samples:
                series = (sample.name, frozenset(sample.labels.items()))
                if is_gauge:
                    gauges[series] = max(sample.value, gauges.get(series, -inf))
                else:
                    counted[series] = sample.value
        counters.append(counted)
    return Look(tuple(counters), gauges)


def _added(now: Mapping[Series, float], before: Mapping[Series, float]) -> dict[Series, float]:
    # A counter that is less than before belongs to a process that began anew.
    return {
        series: value - before.get(series, 0.0) if value >= before.get(series, 0.0) else value
        for series, value in now.items()
    }


def _quantile(share: float, buckets: list[tuple[float, float]]) -> float | None:
    """By straight lines between the bounds, as Prometheus does it."""
    if not buckets or not buckets[-1][1]:
        return None
    rank, lower, below = share * buckets[-1][1], 0.0, 0.0
    for bound, count in buckets:
        if count >= rank:
            if bound == inf:
                return lower
            part = (rank - below) / (count - below) if count > below else 1.0
            return lower + (bound - lower) * part
        lower, below = bound, count
    return lower
