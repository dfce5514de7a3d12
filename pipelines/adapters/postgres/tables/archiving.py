"""What stays in the database of what is archived."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import UUID

from pipelines.adapters.postgres.tables.common import Time, metadata, owner_columns

event_snapshots = Table(
    "event_snapshots",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    # All events up to this number are in it; what is known goes on from there.
    Column("through", BigInteger, nullable=False),
    Column("memories", Integer, nullable=False),
    # JSON, compressed with zstd.
    Column("body", LargeBinary, nullable=False),
    Column("taken_at", Time, nullable=False),
)

# A session that is pushed again when it has been archived is answered from here.
old_receipts = Table(
    "old_receipts",
    metadata,
    Column("receipt", UUID, primary_key=True),
    *owner_columns(),
    Column("session_id", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("received_at", Time, nullable=False),
    Column("finished_at", Time, nullable=False),
    Column("archived_at", Time, nullable=False),
    Index("old_receipts_of_owner", "tenant_id", "user_id"),
    Index("old_receipts_by_age", "archived_at"),
)
