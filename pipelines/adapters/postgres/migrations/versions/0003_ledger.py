"""The cost ledger, what is set aside for calls under way, and transcripts that are parked."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

WAITING = sa.text("state IN ('queued', 'distilling', 'parked')")


def upgrade() -> None:
    op.create_table(
        "ledger",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in (
                "calls",
                "unpriced_calls",
                "estimated_calls",
                "prompt_tokens",
                "completion_tokens",
                "micros",
            )
        ),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "day", "model", "purpose"),
    )
    op.create_index("ledger_of_day", "ledger", ["tenant_id", "day"])
    op.create_table(
        "ledger_days",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "day", "part"),
    )
    op.create_table(
        "holds",
        sa.Column("id", sa.UUID(), primary_key=True),
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("holds_of_tenant", "holds", ["tenant_id"])
    op.create_table(
        "budget_warnings",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "user_id", "day"),
    )
    op.drop_index("transcripts_due", "transcripts")
    op.create_index("transcripts_due", "transcripts", ["due_at"], postgresql_where=WAITING)
    op.drop_index("transcripts_undistilled", "transcripts")
    op.create_index(
        "transcripts_undistilled",
        "transcripts",
        ["tenant_id", "user_id", "ended_at"],
        postgresql_where=WAITING,
    )
