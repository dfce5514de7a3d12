"""What is known: facts, the memories they became, and why."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

from pipelines.adapters.postgres.tables.common import Time, metadata, owner_columns

facts = Table(
    "facts",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("receipt", UUID, ForeignKey("transcripts.receipt"), nullable=False),
    *owner_columns(),
    Column("session_id", Text, nullable=False),
    Column("ordinal", Integer, nullable=False),
    Column("statement", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("importance", Float, nullable=False),
    Column("slot_subject", Text),
    Column("slot_attribute", Text),
    Column("slot_member", Text),
    Column("value", Text),
    Column("ends", Boolean, nullable=False, server_default="false"),
    Column("event_at", Time, nullable=False),
    Column("evidence", JSONB, nullable=False),
    Column("distilled_by", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text),
    Column("memory_id", UUID),
    Index("facts_of_receipt", "receipt", "ordinal"),
    Index("facts_of_owner", "tenant_id", "user_id", "receipt"),
    Index("facts_of_memory", "memory_id", postgresql_where=text("memory_id IS NOT NULL")),
    Index(
        "facts_pending",
        "tenant_id",
        "user_id",
        "event_at",
        "receipt",
        "ordinal",
        postgresql_where=text("outcome = 'pending'"),
    ),
)

memories = Table(
    "memories",
    metadata,
    Column("id", UUID, primary_key=True),
    *owner_columns(),
    Column("scope", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("statement", Text, nullable=False),
    Column("statement_key", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("importance", Float, nullable=False),
    Column("slot_subject", Text),
    Column("slot_attribute", Text),
    Column("slot_member", Text),
    Column("value", Text),
    Column("ends", Boolean, nullable=False, server_default="false"),
    Column("state", Text, nullable=False),
    Column("valid_from", Time, nullable=False),
    Column("valid_to", Time),
    Column("confirmed_at", Time, nullable=False),
    Column("superseded_by", UUID),
    Column("version", Integer, nullable=False),
    Column("distilled_by", Text, nullable=False),
    # How many users say it: more than one only where it is everyone's.
    Column("users", Integer, nullable=False, server_default="1"),
    # float32, little endian: the index can be rebuilt without embedding anything again.
    Column("embedding", LargeBinary, nullable=False),
    Column("updated_at", Time, nullable=False),
    Column("pinned", Boolean, nullable=False, server_default="false"),
    # Out of the index: it had faded. What holds does not depend on it.
    Column("evicted_at", Time),
    Index("memories_of_owner", "tenant_id", "user_id", "id"),
    Index(
        "memories_by_key",
        "tenant_id",
        "user_id",
        text("md5(statement_key)"),
        postgresql_where=text("state = 'active'"),
    ),
    Index(
        "memories_by_slot",
        "tenant_id",
        "user_id",
        "slot_subject",
        "slot_attribute",
        postgresql_where=text("slot_attribute IS NOT NULL"),
    ),
    Index(
        "memories_by_statement",
        "tenant_id",
        text("md5(statement_key)"),
        postgresql_where=text("state = 'active' AND scope = 'user'"),
    ),
    Index("memories_evicted", "evicted_at", postgresql_where=text("evicted_at IS NOT NULL")),
    Index(
        "memories_by_successor",
        "superseded_by",
        postgresql_where=text("superseded_by IS NOT NULL"),
    ),
)

# How memories were used since they were written: no row says not at all. Kept apart, because it
# is written often, and a row of memories is wide.
memory_uses = Table(
    "memory_uses",
    metadata,
    Column("memory_id", UUID, ForeignKey("memories.id", ondelete="CASCADE"), primary_key=True),
    *owner_columns(),
    Column("uses", BigInteger, nullable=False),
    Column("used_at", Time, nullable=False),
    Index("memory_uses_of_owner", "tenant_id", "user_id"),
)

evidence = Table(
    "evidence",
    metadata,
    Column("memory_id", UUID, ForeignKey("memories.id", ondelete="CASCADE"), primary_key=True),
    Column("receipt", UUID, primary_key=True),
    Column("message_index", Integer, primary_key=True),
    Column("quote_key", Text, primary_key=True),
    Column("message_id", Text, nullable=False),
    Column("session_id", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("speaker", Text, nullable=False),
    Column("quote", Text, nullable=False),
    Column("said_at", Time, nullable=False),
    Column("event_at", Time, nullable=False),
    # What the memory is found by of its passage, in no order, once the transcript's text is gone.
    Column("words", Text),
    Index("evidence_of_receipt", "receipt"),
)

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    *owner_columns(),
    Column("memory_id", UUID, nullable=False),
    Column("name", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("at", Time, nullable=False),
    Index("events_of_memory", "memory_id", "seq"),
    Index("events_of_owner", "tenant_id", "user_id", "seq"),
)

# Memories that a judge is to be asked about when there are enough of them.
reviews = Table(
    "reviews",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("memory_id", UUID, primary_key=True),
    Column("weight", Integer, nullable=False),
    Column("since", Time, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("pair_key", Text, primary_key=True),
    Column("relation", Text, nullable=False),
    Column("judged_by", Text, nullable=False),
    Column("created_at", Time, nullable=False),
)

proposals = Table(
    "proposals",
    metadata,
    # Derived from tenant, statement and subject: what was rejected is known again.
    Column("id", UUID, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("statement", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("users", Integer, nullable=False),
    Column("memory_ids", ARRAY(UUID), nullable=False),
    Column("state", Text, nullable=False),
    Column("proposed_at", Time, nullable=False),
    Column("decided_at", Time),
    Column("decided_by", Text),
    Column("memory_id", UUID),
    Index("proposals_of_tenant", "tenant_id", "id"),
)
