"""Checkpoints of running agents."""

import sqlalchemy as sa
from alembic import op

from pipelines.adapters.postgres.fence import fence_statements

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    op.create_table(
        "agent_checkpoints",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("thread_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("parent", sa.UUID()),
        sa.Column("origin", sa.Text()),
        sa.Column("node", sa.Text()),
        sa.Column("metadata", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("base", sa.UUID()),
        sa.Column("depth", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("schema_version", sa.Integer(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "thread_id", "sequence"),
    )
    op.create_index(
        "agent_checkpoints_by_id",
        "agent_checkpoints",
        ["tenant_id", "user_id", "thread_id", "id"],
        unique=True,
    )
    for statement in fence_statements("agent_checkpoints"):
        op.execute(statement)
