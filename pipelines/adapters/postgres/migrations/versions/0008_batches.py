"""Lanes, and batches of model calls with what they are for."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None

WAITING = sa.text("state IN ('queued', 'distilling', 'parked')")


def upgrade() -> None:
    op.add_column(
        "transcripts",
        sa.Column("lane", sa.Text(), nullable=False, server_default="interactive"),
    )
    op.add_column("transcripts", sa.Column("batch", sa.UUID()))
    op.drop_index("transcripts_due", "transcripts")
    op.create_index("transcripts_due", "transcripts", ["lane", "due_at"], postgresql_where=WAITING)
    op.create_index(
        "transcripts_batched",
        "transcripts",
        ["batch"],
        postgresql_where=sa.text("batch IS NOT NULL"),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("file_id", sa.Text()),
        sa.Column("provider_id", sa.Text()),
        sa.Column("outcome", sa.Text()),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("last_error", sa.Text()),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("lease_until", sa.DateTime(timezone=True)),
        sa.Column("fence", sa.BigInteger(), nullable=False, server_default="0"),
    )
    op.create_index(
        "batches_due", "batches", ["due_at"], postgresql_where=sa.text("state <> 'ended'")
    )
    op.create_table(
        "batch_items",
        sa.Column("batch", sa.UUID(), sa.ForeignKey("batches.id"), nullable=False),
        sa.Column("request_hash", sa.Text(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("receipts", sa.ARRAY(sa.UUID()), nullable=False),
        sa.Column("hold_id", sa.UUID()),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("prompt_tokens", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text()),
        sa.PrimaryKeyConstraint("batch", "request_hash"),
    )
    op.create_index("batch_items_of_owner", "batch_items", ["tenant_id", "user_id"])
