"""What models answered, what it cost, and what may still be spent."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Date, ForeignKey, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from pipelines.adapters.postgres.tables.common import Time, metadata, owner_columns

replies = Table(
    "replies",
    metadata,
    Column("request_hash", Text, primary_key=True),
    *owner_columns(),
    Column("purpose", Text, nullable=False),
    # The transcripts whose text the request carried: with them it is erased.
    Column("receipts", ARRAY(UUID), nullable=False),
    Column("model", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("created_at", Time, nullable=False),
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
    *owner_columns(),
    Column("day", Date, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("expires_at", Time, nullable=False),
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
    Column("created_at", Time, nullable=False),
    Column("deadline_at", Time, nullable=False),
    Column("file_id", Text),
    Column("provider_id", Text),
    Column("outcome", Text),
    Column("ended_at", Time),
    Column("last_error", Text),
    Column("due_at", Time, nullable=False),
    Column("lease_until", Time),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Index("batches_due", "due_at", postgresql_where=text("state <> 'ended'")),
)

batch_items = Table(
    "batch_items",
    metadata,
    Column("batch", UUID, ForeignKey("batches.id"), primary_key=True),
    Column("request_hash", Text, primary_key=True),
    *owner_columns(),
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
