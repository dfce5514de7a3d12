"""Reading what is handed out at ``/metrics``."""

from __future__ import annotations

from collections import defaultdict

import httpx2
from prometheus_client.parser import text_string_to_metric_families


class Figures:
    """The samples of one look."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.types: dict[str, str] = {}
        self._samples: dict[str, list[tuple[dict[str, str], float]]] = defaultdict(list)
        for family in text_string_to_metric_families(text):
            self.types[family.name] = family.type
            for sample in family.samples:
                self._samples[sample.name].append((sample.labels, sample.value))

    def sum(self, name: str, **labels: str) -> float:
        """Of all samples that have these labels."""
        found = self._samples.get(name, [])
        return sum(value for has, value in found if labels.items() <= has.items())

    def labels(self, name: str) -> set[str]:
        """The values of all labels of a metric."""
        return {value for has, _ in self._samples.get(name, []) for value in has.values()}

    @property
    def names(self) -> set[str]:
        return set(self._samples)


def look(port: int) -> Figures:
    """What a process hands out on a port of the loopback; nothing while it does not listen."""
    try:
        return Figures(httpx2.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text)
    except httpx2.ConnectError:
        return Figures("")
