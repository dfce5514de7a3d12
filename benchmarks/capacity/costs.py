"""What one session and one recall cost, as they were measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SESSION_WORKER = "a session in workers"
SESSION_POSTGRES = "a session in PostgreSQL"
SESSION_BYTES = "a session on disk in PostgreSQL"


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one session, from the Stream into the index.

    Attributes:
        worker_seconds: Processor of worker processes.
        postgres_seconds: Processor of PostgreSQL, the index in it included.
        disk_bytes: What it leaves there, before anything of it is archived or fades.
    """

    worker_seconds: float
    postgres_seconds: float
    disk_bytes: float

    @classmethod
    def of(cls, figures: Mapping[str, float]) -> Costs:
        """From the figures of a run, by their names.

        Raises:
            KeyError: The run did not measure one of them.
        """
        return cls(
            figures[SESSION_WORKER] / 1e3,
            figures[SESSION_POSTGRES] / 1e3,
            figures[SESSION_BYTES] * 1e3,
        )


def load_costs(file: Path) -> Costs:
    """Of the latest run that was kept.

    Raises:
        FileNotFoundError: None was.
        KeyError: It lacks a figure.
    """
    run = json.loads(file.read_text())
    return Costs.of({item["name"]: item["value"] for item in run["figures"]})
