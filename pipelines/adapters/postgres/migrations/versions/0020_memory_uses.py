"""How memories were used."""

import sqlalchemy as sa
from alembic import op

from pipelines.adapters.postgres.fence import fence_statements

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    op.create_table(
        "memory_uses",
        sa.Column("memory_id", sa.UUID(), nullable=False),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("uses", sa.BigInteger(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("memory_id"),
        sa.ForeignKeyConstraint(["memory_id"], ["memories.id"], ondelete="CASCADE"),
    )
    op.create_index("memory_uses_of_owner", "memory_uses", ["tenant_id", "user_id"])
    for statement in fence_statements("memory_uses"):
        op.execute(statement)
