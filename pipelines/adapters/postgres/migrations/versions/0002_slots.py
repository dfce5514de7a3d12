"""Slots of attributes with many values; statements that end a value; verdicts of the judge."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("facts", "memories"):
        op.add_column(table, sa.Column("slot_member", sa.Text()))
        op.add_column(
            table, sa.Column("ends", sa.Boolean(), nullable=False, server_default="false")
        )
    op.create_index(
        "facts_of_memory",
        "facts",
        ["memory_id"],
        postgresql_where=sa.text("memory_id IS NOT NULL"),
    )
    # Stored replies are only kept to save money: those without an account are let go.
    op.execute("DELETE FROM replies")
    op.drop_index("replies_of_receipt", "replies")
    op.drop_column("replies", "receipt")
    for name in ("tenant_id", "user_id", "purpose"):
        op.add_column("replies", sa.Column(name, sa.Text(), nullable=False))
    op.add_column("replies", sa.Column("receipts", postgresql.ARRAY(sa.UUID()), nullable=False))
    op.create_index("replies_of_owner", "replies", ["tenant_id", "user_id"])
    op.create_table(
        "verdicts",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("pair_key", sa.Text(), nullable=False),
        sa.Column("relation", sa.Text(), nullable=False),
        sa.Column("judged_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "pair_key"),
    )
