"""Profiles of users, and the triggers that turn each change of one into work for the index."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from pipelines.adapters.postgres.capture import capture_statements
from pipelines.adapters.postgres.fence import fence_statements

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    _create_profiles()
    _create_entries()
    for table in ("user_profiles", "profile_entries"):
        for statement in fence_statements(table):
            op.execute(statement)
    for statement in capture_statements():
        op.execute(statement)
    op.execute(
        "CREATE TRIGGER number_profile BEFORE INSERT OR UPDATE ON user_profiles"
        " FOR EACH ROW EXECUTE FUNCTION number_profile()"
    )
    op.execute(
        "CREATE TRIGGER capture_profile AFTER INSERT OR UPDATE OR DELETE ON user_profiles"
        " FOR EACH ROW EXECUTE FUNCTION capture_profile()"
    )


def _create_profiles() -> None:
    empty = sa.text("'{}'::jsonb")
    op.create_table(
        "user_profiles",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("preferences", postgresql.JSONB(), server_default=empty, nullable=False),
        sa.Column("learned", postgresql.JSONB(), server_default=empty, nullable=False),
        sa.Column("version", sa.Integer(), server_default="1", nullable=False),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id"),
        sa.CheckConstraint(
            "jsonb_typeof(preferences) = 'object'", name="preferences_are_an_object"
        ),
        sa.CheckConstraint("jsonb_typeof(learned) = 'object'", name="learned_is_an_object"),
    )


def _create_entries() -> None:
    op.create_table(
        "profile_entries",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", postgresql.JSONB(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("embedding", sa.LargeBinary()),
        sa.Column("embedded_version", sa.Integer()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("profile_entries_of_owner", "profile_entries", ["tenant_id", "user_id"])
    op.create_index(
        "profile_entries_pending",
        "profile_entries",
        ["version"],
        postgresql_where=sa.text("embedded_version IS DISTINCT FROM version"),
    )
