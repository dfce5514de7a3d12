"""Transcripts that share a model call, and those that do not any more."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "transcripts",
        sa.Column("alone", sa.Boolean(), nullable=False, server_default="false"),
    )
    op.create_index("replies_of_receipts", "replies", ["receipts"], postgresql_using="gin")
