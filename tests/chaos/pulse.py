"""The memory of processes over time."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.keeper import Keeper

_INTERVAL_SECONDS = 1.0
_WARM_SECONDS = 15.0
_BOUND_MB = 150.0
_MEGABYTE = 1024 * 1024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Weight:
    """Resident memory of the processes that had one name, one after another.

    Attributes:
        processes: How many there were.
        peak_mb: The most that any of them took.
        last_mb: What the last one took when it was last looked at.
        growth_mb: The most that any of them grew after it had warmed up.
        longest_seconds: How long the longest-lived of them was watched.
    """

    processes: int
    peak_mb: float
    last_mb: float
    growth_mb: float
    longest_seconds: float


class Pulse:
    """A thread that looks at all processes every second."""

    def __init__(self, keepers: Mapping[str, Keeper]) -> None:
        self._keepers = keepers
        self._closing = threading.Event()
        self._seen: defaultdict[str, dict[int, list[tuple[float, float]]]] = defaultdict(dict)
        self._thread = threading.Thread(target=self._run, name="pulse", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._closing.set()
        self._thread.join()

    def weigh(self) -> dict[str, Weight]:
        """What was seen, by name."""
        return {name: _weigh(lives) for name, lives in sorted(self._seen.items())}

    def _run(self) -> None:
        while not self._closing.wait(_INTERVAL_SECONDS):
            for name, keeper in self._keepers.items():
                pid = keeper.pid
                size = None if pid is None else resident_mb(pid)
                if pid is not None and size is not None:
                    self._seen[name].setdefault(pid, []).append((time.monotonic(), size))


def check_weights(weights: Mapping[str, Weight]) -> list[str]:
    """No process grows without bounds."""
    return [
        f"{name} grew by {weight.growth_mb:.0f} MB"
        for name, weight in weights.items()
        if weight.growth_mb > _BOUND_MB
    ]


def resident_mb(pid: int) -> float | None:
    """Megabytes; None if there is no such process."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text().split()[1]
    except (OSError, IndexError):
        return None
    return int(pages) * _PAGE_BYTES / _MEGABYTE


def _weigh(lives: Mapping[int, list[tuple[float, float]]]) -> Weight:
    sizes = [[size for _, size in life] for life in lives.values()]
    return Weight(
        processes=len(lives),
        peak_mb=round(max(map(max, sizes)), 1),
        last_mb=round(sizes[-1][-1], 1),
        growth_mb=round(max(map(_growth, lives.values())), 1),
        longest_seconds=round(max(life[-1][0] - life[0][0] for life in lives.values()), 1),
    )


def _growth(life: list[tuple[float, float]]) -> float:
    warm = [size for at, size in life if at >= life[0][0] + _WARM_SECONDS]
    return warm[-1] - warm[0] if warm else 0.0
