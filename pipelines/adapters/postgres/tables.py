"""The tables of the truth, as SQLAlchemy sees them; migrations create them."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    DateTime,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID

metadata = MetaData()

_Time = DateTime(timezone=True)
_WAITING = text("state IN ('queued', 'distilling', 'parked')")


def _owner() -> list[Column[str]]:
    return [Column("tenant_id", Text, nullable=False), Column("user_id", Text, nullable=False)]


transcripts = Table(
    "transcripts",
    metadata,
    # Derived from owner and idempotency key: the primary key is what refuses a duplicate.
    Column("receipt", UUID, primary_key=True),
    *_owner(),
    Column("session_id", Text, nullable=False),
    Column("agent_id", Text),
    Column("idempotency_key", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("started_at", _Time, nullable=False),
    Column("ended_at", _Time, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("due_at", _Time, nullable=False),
    Column("lease_until", _Time),
    Column("reason", Text),
    Column("last_error", Text),
    # It shares no model call any more: it failed in one, or a worker died over it.
    Column("alone", Boolean, nullable=False, server_default="false"),
    # Interactive or backfill.
    Column("lane", Text, nullable=False, server_default="interactive"),
    # The one batch of model calls that it was ever put in; then it goes the live road.
    Column("batch", UUID),
    # The transcript that a generation distills again under this row.
    Column("copy_of", UUID),
    Column("received_at", _Time, nullable=False),
    Column("finished_at", _Time),
    Index("transcripts_due", "lane", "due_at", postgresql_where=_WAITING),
    Index("transcripts_batched", "batch", postgresql_where=text("batch IS NOT NULL")),
    Index("transcripts_copied", "copy_of", postgresql_where=text("copy_of IS NOT NULL")),
    Index("transcripts_of_owner", "tenant_id", "user_id", "ended_at"),
    Index("transcripts_undistilled", "tenant_id", "user_id", "ended_at", postgresql_where=_WAITING),
)

owners = Table(
    "owners",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("due_at", _Time),
    Column("lease_until", _Time),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("generation", BigInteger, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Index("owners_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)

facts = Table(
    "facts",
    metadata,
    Column("id", UUID, primary_key=True),
    Column("receipt", UUID, ForeignKey("transcripts.receipt"), nullable=False),
    *_owner(),
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
    Column("event_at", _Time, nullable=False),
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
    *_owner(),
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
    Column("valid_from", _Time, nullable=False),
    Column("valid_to", _Time),
    Column("confirmed_at", _Time, nullable=False),
    Column("superseded_by", UUID),
    Column("version", Integer, nullable=False),
    Column("distilled_by", Text, nullable=False),
    # How many users say it: more than one only where it is everyone's.
    Column("users", Integer, nullable=False, server_default="1"),
    # float32, little endian: the index can be rebuilt without embedding anything again.
    Column("embedding", LargeBinary, nullable=False),
    Column("updated_at", _Time, nullable=False),
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
    Column("said_at", _Time, nullable=False),
    Column("event_at", _Time, nullable=False),
)

events = Table(
    "events",
    metadata,
    Column("seq", BigInteger, Identity(always=True), primary_key=True),
    *_owner(),
    Column("memory_id", UUID, nullable=False),
    Column("name", Text, nullable=False),
    Column("schema_version", Integer, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("at", _Time, nullable=False),
    Index("events_of_memory", "memory_id", "seq"),
    Index("events_of_owner", "tenant_id", "user_id", "seq"),
)

outbox = Table(
    "outbox",
    metadata,
    # One row per memory: whoever projects it holds the row, so two never race on one point.
    Column("memory_id", UUID, primary_key=True),
    *_owner(),
    Column("enqueued_at", _Time, nullable=False),
    Index("outbox_of_owner", "tenant_id", "user_id"),
    Index("outbox_waiting", "enqueued_at"),
)

replies = Table(
    "replies",
    metadata,
    Column("request_hash", Text, primary_key=True),
    *_owner(),
    Column("purpose", Text, nullable=False),
    # The transcripts whose text the request carried: with them it is erased.
    Column("receipts", ARRAY(UUID), nullable=False),
    Column("model", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("created_at", _Time, nullable=False),
    Index("replies_of_owner", "tenant_id", "user_id"),
    Index("replies_of_receipts", "receipts", postgresql_using="gin"),
)

# Purely numbers: what is erased with a user is the account, not what was said.
ledger = Table(
    "ledger",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("model", Text, primary_key=True),
    Column("purpose", Text, primary_key=True),
    Column("calls", BigInteger, nullable=False),
    Column("unpriced_calls", BigInteger, nullable=False),
    Column("estimated_calls", BigInteger, nullable=False),
    Column("prompt_tokens", BigInteger, nullable=False),
    Column("completion_tokens", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Index("ledger_of_day", "tenant_id", "day"),
)

# The sums of a tenant's days, each in several rows: its users need not wait for each other.
ledger_days = Table(
    "ledger_days",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("day", Date, primary_key=True),
    Column("part", Integer, primary_key=True),
    Column("tokens", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
)

holds = Table(
    "holds",
    metadata,
    Column("id", UUID, primary_key=True),
    *_owner(),
    Column("day", Date, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("expires_at", _Time, nullable=False),
    Index("holds_of_tenant", "tenant_id"),
)

budget_warnings = Table(
    "budget_warnings",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    # Empty where it is the budget of all users together.
    Column("user_id", Text, primary_key=True),
    Column("day", Date, primary_key=True),
)

batches = Table(
    "batches",
    metadata,
    # Also its name at the provider: how it is found there again after a crash.
    Column("id", UUID, primary_key=True),
    Column("state", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
    Column("deadline_at", _Time, nullable=False),
    Column("file_id", Text),
    Column("provider_id", Text),
    Column("outcome", Text),
    Column("ended_at", _Time),
    Column("last_error", Text),
    Column("due_at", _Time, nullable=False),
    Column("lease_until", _Time),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Index("batches_due", "due_at", postgresql_where=text("state <> 'ended'")),
)

batch_items = Table(
    "batch_items",
    metadata,
    Column("batch", UUID, ForeignKey("batches.id"), primary_key=True),
    Column("request_hash", Text, primary_key=True),
    *_owner(),
    Column("purpose", Text, nullable=False),
    # The transcripts whose text the request carries, in its order.
    Column("receipts", ARRAY(UUID), nullable=False),
    # What is set aside for it: the hold, on which day's account, and the request's size.
    Column("hold_id", UUID),
    Column("day", Date, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    # None until its answer is booked or given up.
    Column("outcome", Text),
    Index("batch_items_of_owner", "tenant_id", "user_id"),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("pair_key", Text, primary_key=True),
    Column("relation", Text, nullable=False),
    Column("judged_by", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
)

# Memories that a judge is to be asked about when there are enough of them.
reviews = Table(
    "reviews",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("memory_id", UUID, primary_key=True),
    Column("weight", Integer, nullable=False),
    Column("since", _Time, nullable=False),
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
    Column("proposed_at", _Time, nullable=False),
    Column("decided_at", _Time),
    Column("decided_by", Text),
    Column("memory_id", UUID),
    Index("proposals_of_tenant", "tenant_id", "id"),
)

generations = Table(
    "generations",
    metadata,
    Column("id", UUID, primary_key=True),
    # A tenant has one at a time.
    Column("tenant_id", Text, nullable=False, unique=True),
    # None where it is for all users.
    Column("user_id", Text),
    Column("since", _Time, nullable=False),
    Column("distiller", Text, nullable=False),
    Column("model", Text),
    Column("prompt_name", Text),
    # Its text: workers need no file, and what was distilled can be traced to it.
    Column("prompt", Text),
    Column("goal", Text, nullable=False),
    Column("created_at", _Time, nullable=False),
)

generation_users = Table(
    "generation_users",
    metadata,
    Column("generation", UUID, ForeignKey("generations.id"), primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("step", Text, nullable=False),
    Column("due_at", _Time, nullable=False),
    Index("generation_users_due", "generation", "step", "due_at"),
)

installation = Table(
    "installation",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", JSONB, nullable=False),
)
