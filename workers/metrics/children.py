"""What the children of a prefork pool have recorded, each in files of its own."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from prometheus_client.core import Metric

_LIVE_FILE = re.compile(r"gauge_live\w*_(\d+)\.db")


class ChildrensFigures(Collector):
    """The sums over all children, also over those that have ended."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = MultiProcessCollector(None, str(folder))

    def collect(self) -> Iterable[Metric]:
        self._forget_states_of_the_dead()
        collected: Iterable[Metric] = self._files.collect()
        return collected

    def _forget_states_of_the_dead(self) -> None:
        """What a child said of its present is void once it has ended; its counts stay."""
        for path in self._folder.glob("gauge_live*.db"):
            found = _LIVE_FILE.fullmatch(path.name)
            if found and not _is_running(int(found[1])):
                path.unlink(missing_ok=True)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
