"""Where running agents stand."""

from __future__ import annotations

from sqlalchemy import Column, Index, Integer, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import UUID

from pipelines.adapters.postgres.tables.common import Time, metadata

# Not "checkpoints": LangGraph has a table of that name, which may be in the same schema.
checkpoints = Table(
    "agent_checkpoints",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("thread_id", Text, primary_key=True),
    Column("sequence", Integer, primary_key=True, autoincrement=False),
    Column("id", UUID, nullable=False),
    Column("parent", UUID),
    # The thread of the parent, where it is another.
    Column("origin", Text),
    Column("node", Text),
    # Text, not JSONB, which would spell numbers anew.
    Column("metadata", Text, nullable=False),
    # SHA-256 and size of the state, whatever is stored of it.
    Column("sha256", Text, nullable=False),
    Column("bytes", Integer, nullable=False),
    # The checkpoint before, where the content is a delta to its state.
    Column("base", UUID),
    # So many checkpoints back stands the full snapshot.
    Column("depth", Integer, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("saved_at", Time, nullable=False),
    Index("agent_checkpoints_by_id", "tenant_id", "user_id", "thread_id", "id", unique=True),
)
