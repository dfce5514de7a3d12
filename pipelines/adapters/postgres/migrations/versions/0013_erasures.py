"""Erasures."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("subject_key", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text()),
        sa.Column("session_id", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        _time("requested_at", nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        _time("mark_at", nullable=False),
        _time("due_at"),
        _time("lease_until"),
        sa.Column("fence", sa.BigInteger(), nullable=False, server_default="0"),
        _time("purged_at"),
        _time("verified_at"),
        sa.Column("removed", postgresql.JSONB(), nullable=False),
        sa.Column("found", postgresql.JSONB(), nullable=False),
        sa.Column("receipts", postgresql.ARRAY(sa.UUID()), nullable=False),
        sa.Column("memory_ids", postgresql.ARRAY(sa.UUID()), nullable=False),
        sa.Column("last_error", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("erasures_of_subject", "erasures", ["subject_key", "mark_at"])
    op.create_index("erasures_of_tenant", "erasures", ["tenant_id", "requested_at"])
    op.create_index(
        "erasures_due", "erasures", ["due_at"], postgresql_where=sa.text("due_at IS NOT NULL")
    )


def _time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)
