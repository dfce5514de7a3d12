"""What one session and one recall cost, as they were measured."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SESSION_WORKER = "a session in workers"
SESSION_POSTGRES = "a session in PostgreSQL"
RECALL = "recall of 10,000, pgvector, p50"
_FLOAT_BYTES, _PAGE_BYTES = 4, 8_192


@dataclass(frozen=True, slots=True)
class Costs:
    """Of one session, from the Stream into the index, and of one recall.

    Attributes:
        worker_seconds: Processor of worker processes.
        postgres_seconds: Processor of PostgreSQL, the index in it included.
        recall_seconds: Of a user with many memories, from question to answer, nearly all of it
            processor.
    """

    worker_seconds: float
    postgres_seconds: float
    recall_seconds: float

    @classmethod
    def of(cls, figures: Mapping[str, float]) -> Costs:
        """From the figures of a run, by their names.

        Raises:
            KeyError: The run did not measure one of them.
        """
        return cls(
            figures[SESSION_WORKER] / 1e3,
            figures[SESSION_POSTGRES] / 1e3,
            figures[RECALL] / 1e3,
        )


@dataclass(frozen=True, slots=True)
class Kept:
    """What is there of a user, of one session a day, when a year is over.

    Decay, purges and archives have done their work by then: what the simulated year held at its
    end (``make year USERS=200 DAYS=365 SESSIONS=2``), by user and session a day.

    Attributes:
        memories: In rows and in the index, on average: those that faded have a row alone.
        bytes_beside_vectors: Of tables with their indexes.
    """

    memories: float = 278.0
    bytes_beside_vectors: float = 2_080_000.0

    def disk_bytes(self, numbers: int) -> float:
        """With vectors of so many numbers, each in its row and in the index.

        Two that take more than half a page of PostgreSQL do not share one.
        """
        vector = numbers * _FLOAT_BYTES
        if vector > _PAGE_BYTES / 2:
            vector = _PAGE_BYTES * math.ceil(vector / _PAGE_BYTES)
        return self.bytes_beside_vectors + 2 * self.memories * vector


def load_costs(file: Path) -> Costs:
    """Of the latest run that was kept.

    Raises:
        FileNotFoundError: None was.
        KeyError: It lacks a figure.
    """
    run = json.loads(file.read_text())
    return Costs.of({item["name"]: item["value"] for item in run["figures"]})
