"""What was logged of memories, composed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.adapters.postgres.event_log import PostgresEventLog
from pipelines.flows.event_log import CheckEvents, RewriteMemories
from workers.clock import SystemClock

if TYPE_CHECKING:
    from config.policy import Policies
    from pipelines.adapters.postgres import Database
    from pipelines.ports import Embedder, MemoryStore, Waker


@dataclass(frozen=True, slots=True)
class Record:
    """The event log, and what is made of it."""

    check: CheckEvents
    rewrite: RewriteMemories


def make_record(
    policies: Policies, database: Database, store: MemoryStore, embedder: Embedder, waker: Waker
) -> Record:
    """All of it."""
    clock, events = SystemClock(), PostgresEventLog(database)
    return Record(
        check=CheckEvents(events),
        rewrite=RewriteMemories(events, store, embedder, waker, clock, policies),
    )
