"""Receipts of sessions that are in the archive."""

import sqlalchemy as sa
from alembic import op

from pipelines.adapters.postgres.fence import fence_statements

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    op.create_table(
        "old_receipts",
        sa.Column("receipt", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("session_id", sa.Text(), nullable=False),
        sa.Column("content_hash", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("receipt"),
    )
    op.create_index("old_receipts_of_owner", "old_receipts", ["tenant_id", "user_id"])
    op.create_index("old_receipts_by_age", "old_receipts", ["archived_at"])
    for statement in fence_statements("old_receipts"):
        op.execute(statement)
