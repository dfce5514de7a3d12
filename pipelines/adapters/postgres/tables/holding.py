"""Legal holds: whose data nobody deletes."""

from __future__ import annotations

from sqlalchemy import Column, Index, Table, Text, text
from sqlalchemy.dialects.postgresql import UUID

from pipelines.adapters.postgres.tables.common import Time, metadata, owner_columns

legal_holds = Table(
    "legal_holds",
    metadata,
    Column("id", UUID, primary_key=True),
    *owner_columns(),
    Column("reason", Text, nullable=False),
    Column("placed_at", Time, nullable=False),
    Column("placed_by", Text, nullable=False),
    # None while it holds.
    Column("released_at", Time),
    Column("released_by", Text),
    Index(
        "legal_holds_in_force",
        "tenant_id",
        "user_id",
        postgresql_where=text("released_at IS NULL"),
    ),
)
