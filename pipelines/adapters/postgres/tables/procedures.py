"""How things are done: procedures in versions, how they turned out, and what was read for it."""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from pipelines.adapters.postgres.tables.common import Time, metadata, owner_columns

procedures = Table(
    "procedures",
    metadata,
    # Derived from owner and name: all versions of one have the same.
    Column("id", UUID, primary_key=True),
    Column("version", Integer, primary_key=True),
    *owner_columns(),
    Column("name", Text, nullable=False),
    Column("steps", ARRAY(Text), nullable=False),
    Column("since", Time, nullable=False),
    # None where an agent wrote it down.
    Column("memory_id", UUID),
    Index("procedures_of_owner", "tenant_id", "user_id"),
    Index("procedures_of_memory", "memory_id", postgresql_where=text("memory_id IS NOT NULL")),
)

procedure_outcomes = Table(
    "procedure_outcomes",
    metadata,
    Column("procedure_id", UUID, primary_key=True),
    # Who told it: everyone's procedures have outcomes of users, which go with them.
    Column("user_id", Text, primary_key=True),
    # Given by who recorded it, or the memory's: counted once however often it is told.
    Column("key", Text, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("tenant_id", Text, nullable=False),
    Column("worked", Boolean, nullable=False),
    Column("at", Time, nullable=False),
    Column("memory_id", UUID),
    ForeignKeyConstraint(
        ["procedure_id", "version"], ["procedures.id", "procedures.version"], ondelete="CASCADE"
    ),
    Index("outcomes_of_owner", "tenant_id", "user_id"),
    Index("outcomes_of_memory", "memory_id", postgresql_where=text("memory_id IS NOT NULL")),
)

# Memories that were looked at for procedures and outcomes, whatever came of it.
procedure_readings = Table(
    "procedure_readings",
    metadata,
    Column("memory_id", UUID, primary_key=True),
    *owner_columns(),
    Column("has_use", Boolean, nullable=False),
    Index("readings_of_owner", "tenant_id", "user_id"),
)
