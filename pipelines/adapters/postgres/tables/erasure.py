"""What was erased: the proof, and the mark that keeps it from coming back."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from pipelines.adapters.postgres.tables.common import Time, metadata

erasures = Table(
    "erasures",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    # A hash: it stays when the names are gone.
    Column("subject_key", Text, nullable=False),
    Column("user_id", Text),
    Column("session_id", Text),
    Column("state", Text, nullable=False),
    Column("requested_at", Time, nullable=False),
    Column("requested_by", Text, nullable=False),
    Column("mark_at", Time, nullable=False),
    Column("due_at", Time),
    Column("lease_until", Time),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("purged_at", Time),
    Column("verified_at", Time),
    Column("removed", JSONB, nullable=False),
    Column("found", JSONB, nullable=False),
    Column("receipts", ARRAY(UUID), nullable=False),
    Column("memory_ids", ARRAY(UUID), nullable=False),
    Column("last_error", Text),
    Index("erasures_of_subject", "subject_key", "mark_at"),
    Index("erasures_of_tenant", "tenant_id", "requested_at"),
    Index("erasures_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)
