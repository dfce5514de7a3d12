"""Tunables of cleaning the checkpoints that LangGraph keeps in its own tables."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class LangGraphPolicy:
    """How much history a thread keeps, and in which portions the rest goes.

    Attributes:
        keep: So many of the newest checkpoints stay, of each thread and namespace.
        settle: A checkpoint goes only when ``keep`` newer ones are at least this old: a run that
            began at the then newest one, and has not saved since, still finds all it needs.
        batch: Checkpoints that go in one transaction.
        page: Threads asked for by one query.
        turn: A scheduled cleaning goes on the next time it is due after this.
    """

    keep: int = 5
    settle: timedelta = timedelta(hours=1)
    batch: int = 1000
    page: int = 500
    turn: timedelta = timedelta(minutes=2)
