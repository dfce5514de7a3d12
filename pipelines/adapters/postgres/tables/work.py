"""The rows that are the work: transcripts, users whose facts wait, and what the index lacks."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Table, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from pipelines.adapters.postgres.tables.common import Time, metadata, owner_columns

_OPEN = text("state IN ('queued', 'distilling', 'parked')")
_IN_LINE = text("state IN ('queued', 'parked') AND turn_at IS NOT NULL")
_OUT_OF_LINE = text("state IN ('queued', 'parked') AND turn_at IS NULL")

transcripts = Table(
    "transcripts",
    metadata,
    # Derived from owner and idempotency key: the primary key is what refuses a duplicate.
    Column("receipt", UUID, primary_key=True),
    *owner_columns(),
    Column("session_id", Text, nullable=False),
    Column("agent_id", Text),
    Column("idempotency_key", Text, nullable=False),
    Column("content_hash", Text, nullable=False),
    Column("body", JSONB, nullable=False),
    Column("time_zone", Text, nullable=False),
    Column("started_at", Time, nullable=False),
    Column("ended_at", Time, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    # Attempts that ended without a word: the worker died, or was frozen until its lease was over.
    Column("deaths", Integer, nullable=False, server_default="0"),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("due_at", Time, nullable=False),
    # Its place in the line of its tenant, once it is due: the earliest turn comes first. A user's
    # turns lie apart, so that nobody stands behind all that one user pushed.
    Column("turn_at", Time),
    Column("lease_until", Time),
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
    # W3C trace context of the span that brought it in, where somebody traces.
    Column("traceparent", Text),
    Column("received_at", Time, nullable=False),
    Column("finished_at", Time),
    Index("transcripts_due", "lane", "due_at", postgresql_where=_OPEN),
    Index("transcripts_in_line", "lane", "tenant_id", "turn_at", postgresql_where=_IN_LINE),
    Index("transcripts_turns", "tenant_id", "user_id", "turn_at", postgresql_where=_IN_LINE),
    Index("transcripts_out_of_line", "due_at", postgresql_where=_OUT_OF_LINE),
    Index("transcripts_leased", "lease_until", postgresql_where=text("state = 'distilling'")),
    Index(
        "transcripts_dead",
        "tenant_id",
        "finished_at",
        "receipt",
        postgresql_where=text("state = 'dead'"),
    ),
    Index("transcripts_batched", "batch", postgresql_where=text("batch IS NOT NULL")),
    Index("transcripts_copied", "copy_of", postgresql_where=text("copy_of IS NOT NULL")),
    Index("transcripts_of_owner", "tenant_id", "user_id", "ended_at"),
    Index("transcripts_undistilled", "tenant_id", "user_id", "ended_at", postgresql_where=_OPEN),
)

owners = Table(
    "owners",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("due_at", Time),
    Column("lease_until", Time),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("generation", BigInteger, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("deaths", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Index("owners_due", "due_at", postgresql_where=text("due_at IS NOT NULL")),
)

outbox = Table(
    "outbox",
    metadata,
    # One row per memory, leased by whoever projects it: two never race on one point.
    Column("memory_id", UUID, primary_key=True),
    *owner_columns(),
    Column("enqueued_at", Time, nullable=False),
    # Counts the changes: what was projected is ticked off only if nothing came since.
    Column("change", BigInteger, nullable=False, server_default="0"),
    Column("due_at", Time, nullable=False, server_default=func.now()),
    Column("lease_until", Time),
    Column("fence", BigInteger, nullable=False, server_default="0"),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("last_error", Text),
    Index("outbox_of_owner", "tenant_id", "user_id"),
    Index("outbox_due", "due_at"),
)
