"""Who may call: the API keys of tenants."""

from __future__ import annotations

from sqlalchemy import Column, Index, LargeBinary, Table, Text
from sqlalchemy.dialects.postgresql import ARRAY

from pipelines.adapters.postgres.tables.common import Time, metadata

api_keys = Table(
    "api_keys",
    metadata,
    # Random: whose key it is only its secret says.
    Column("id", Text, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("scopes", ARRAY(Text), nullable=False),
    # None where it acts for all users of the tenant.
    Column("user_id", Text),
    # SHA-256 of the secret.
    Column("digest", LargeBinary, nullable=False),
    Column("created_at", Time, nullable=False),
    Column("expires_at", Time),
    Column("revoked_at", Time),
    Column("last_used_at", Time),
    Index("api_keys_of_tenant", "tenant_id", "created_at"),
)
