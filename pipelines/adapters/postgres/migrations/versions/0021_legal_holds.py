"""Legal holds."""

import sqlalchemy as sa
from alembic import op

from pipelines.adapters.postgres.fence import fence_statements

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    op.create_table(
        "legal_holds",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("placed_by", sa.Text(), nullable=False),
        sa.Column("released_at", sa.DateTime(timezone=True)),
        sa.Column("released_by", sa.Text()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "legal_holds_in_force",
        "legal_holds",
        ["tenant_id", "user_id"],
        postgresql_where=sa.text("released_at IS NULL"),
    )
    for statement in fence_statements("legal_holds"):
        op.execute(statement)
