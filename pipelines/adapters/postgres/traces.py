"""Which traces the work belongs to, found out where somebody collects them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import distinct_on

from pipelines.adapters.postgres.arrays import is_among
from pipelines.adapters.postgres.tables import evidence, transcripts

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

    from pipelines.adapters.postgres.database import Database

MAX_TRACES = 128


def find_traces(database: Database, receipts: Collection[UUID]) -> list[str]:
    """The traces of transcripts, those that were received last first."""
    if not receipts:
        return []
    statement = (
        select(transcripts.c.traceparent)
        .where(is_among(transcripts.c.receipt, receipts), transcripts.c.traceparent.is_not(None))
        .order_by(transcripts.c.received_at.desc())
        .limit(MAX_TRACES)
    )
    with database.transaction() as connection:
        return list(connection.execute(statement).scalars())


def find_traces_of_memories(database: Database, memories: Collection[UUID]) -> list[str]:
    """The trace of the last transcript that each of the memories rests on."""
    if not memories:
        return []
    newest = (
        select(transcripts.c.traceparent, transcripts.c.received_at)
        .join(evidence, evidence.c.receipt == transcripts.c.receipt)
        .where(is_among(evidence.c.memory_id, memories))
        .order_by(evidence.c.memory_id, transcripts.c.received_at.desc())
        .ext(distinct_on(evidence.c.memory_id))
        .subquery()
    )
    statement = (
        select(newest.c.traceparent)
        .where(newest.c.traceparent.is_not(None))
        .order_by(newest.c.received_at.desc())
        .limit(MAX_TRACES)
    )
    with database.transaction() as connection:
        return list(connection.execute(statement).scalars())
