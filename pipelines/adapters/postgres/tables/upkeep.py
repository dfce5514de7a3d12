"""What belongs to the installation: generations, and what it was set up with."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Table, Text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from pipelines.adapters.postgres.tables.common import Time, metadata

generations = Table(
    "generations",
    metadata,
    Column("id", UUID, primary_key=True),
    # A tenant has one at a time.
    Column("tenant_id", Text, nullable=False, unique=True),
    # None where it is for all users.
    Column("user_id", Text),
    Column("since", Time, nullable=False),
    Column("distiller", Text, nullable=False),
    Column("model", Text),
    Column("prompt_name", Text),
    # Its text: workers need no file, and what was distilled can be traced to it.
    Column("prompt", Text),
    Column("goal", Text, nullable=False),
    Column("created_at", Time, nullable=False),
)

generation_users = Table(
    "generation_users",
    metadata,
    Column("generation", UUID, ForeignKey("generations.id"), primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("step", Text, nullable=False),
    Column("due_at", Time, nullable=False),
    Index("generation_users_due", "generation", "step", "due_at"),
)

# How far a tenant with a rate limit has used it up: its next transcript is due then.
tenant_rates = Table(
    "tenant_rates",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("free_at", Time, nullable=False),
)

installation = Table(
    "installation",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
)
