"""What many users of a tenant say alike, proposed for all of them."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("memories", sa.Column("users", sa.Integer(), nullable=False, server_default="1"))
    op.create_index(
        "memories_by_statement",
        "memories",
        ["tenant_id", sa.text("md5(statement_key)")],
        postgresql_where=sa.text("state = 'active' AND scope = 'user'"),
    )
    op.create_table(
        "proposals",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("statement", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("users", sa.Integer(), nullable=False),
        sa.Column("memory_ids", postgresql.ARRAY(sa.UUID()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True)),
        sa.Column("decided_by", sa.Text()),
        sa.Column("memory_id", sa.UUID()),
    )
    op.create_index("proposals_of_tenant", "proposals", ["tenant_id", "id"])
