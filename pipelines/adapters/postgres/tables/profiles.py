"""What an application knows of a user by its own means, and what of it is searched."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Column, Index, Integer, LargeBinary, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB, UUID

from pipelines.adapters.postgres.tables.common import Time, metadata

# Any program may write it: triggers number its versions and keep the entries.
user_profiles = Table(
    "user_profiles",
    metadata,
    Column("tenant_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("preferences", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("learned", JSONB, nullable=False, server_default=text("'{}'::jsonb")),
    Column("version", Integer, nullable=False, server_default="1"),
    Column("updated_at", Time, nullable=False, server_default=text("now()")),
    CheckConstraint("jsonb_typeof(preferences) = 'object'", "preferences_are_an_object"),
    CheckConstraint("jsonb_typeof(learned) = 'object'", "learned_is_an_object"),
)

# One row for each key, written by the trigger; a worker gives it its embedding.
profile_entries = Table(
    "profile_entries",
    metadata,
    # Derived from owner, section and key.
    Column("id", UUID, primary_key=True),
    Column("tenant_id", Text, nullable=False),
    Column("user_id", Text, nullable=False),
    Column("section", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("value", JSONB, nullable=False),
    # Of one sequence for all: an entry that is made anew is newer than it ever was.
    Column("version", Integer, nullable=False),
    Column("changed_at", Time, nullable=False),
    Column("embedding", LargeBinary),
    # The version that was embedded, and is in the index or on its way there.
    Column("embedded_version", Integer),
    Index("profile_entries_of_owner", "tenant_id", "user_id"),
    Index(
        "profile_entries_pending",
        "version",
        postgresql_where=text("embedded_version IS DISTINCT FROM version"),
    ),
)
