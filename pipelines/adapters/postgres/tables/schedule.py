"""What ran by the clock."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Integer, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

from pipelines.adapters.postgres.tables.common import Time, metadata

job_runs = Table(
    "job_runs",
    metadata,
    # The key is what keeps a slot from being run twice.
    Column("job", Text, primary_key=True),
    Column("slot", Time, primary_key=True),
    Column("state", Text, nullable=False),
    Column("fence", BigInteger, nullable=False, server_default="1"),
    Column("attempts", Integer, nullable=False, server_default="1"),
    Column("lease_until", Time),
    # When a run that failed, or has more to do, goes on.
    Column("due_at", Time),
    Column("started_at", Time, nullable=False),
    Column("ended_at", Time),
    Column("counts", JSONB, nullable=False, server_default="{}"),
    Column("note", Text),
    # Where the next turn of a run goes on; each job knows what it means.
    Column("position", Text),
)
