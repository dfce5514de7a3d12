"""Generations: sessions distilled again beside the live memories."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("transcripts", sa.Column("copy_of", sa.UUID()))
    op.create_index(
        "transcripts_copied",
        "transcripts",
        ["copy_of"],
        postgresql_where=sa.text("copy_of IS NOT NULL"),
    )
    op.create_table(
        "generations",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("tenant_id", sa.Text(), nullable=False, unique=True),
        sa.Column("user_id", sa.Text()),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("distiller", sa.Text(), nullable=False),
        sa.Column("model", sa.Text()),
        sa.Column("prompt_name", sa.Text()),
        sa.Column("prompt", sa.Text()),
        sa.Column("goal", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "generation_users",
        sa.Column("generation", sa.UUID(), sa.ForeignKey("generations.id"), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("step", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("generation", "user_id"),
    )
    op.create_index("generation_users_due", "generation_users", ["generation", "step", "due_at"])
    op.create_index("transcripts_of_owner", "transcripts", ["tenant_id", "user_id", "ended_at"])
    op.create_index("facts_of_owner", "facts", ["tenant_id", "user_id", "receipt"])
