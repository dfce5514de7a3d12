"""Procedures."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from pipelines.adapters.postgres.fence import fence_statements

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    op.create_table(
        "procedures",
        sa.Column("id", sa.UUID(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        *_owner(),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("steps", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("memory_id", sa.UUID()),
        sa.PrimaryKeyConstraint("id", "version"),
    )
    op.create_table(
        "procedure_outcomes",
        sa.Column("procedure_id", sa.UUID(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        *_owner(),
        sa.Column("worked", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("memory_id", sa.UUID()),
        sa.PrimaryKeyConstraint("procedure_id", "user_id", "key"),
        sa.ForeignKeyConstraint(
            ["procedure_id", "version"], ["procedures.id", "procedures.version"], ondelete="CASCADE"
        ),
    )
    op.create_table(
        "procedure_readings",
        sa.Column("memory_id", sa.UUID(), nullable=False),
        *_owner(),
        sa.Column("has_use", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("memory_id"),
    )
    for table, name in (
        ("procedures", "procedures"),
        ("procedure_outcomes", "outcomes"),
        ("procedure_readings", "readings"),
    ):
        op.create_index(f"{name}_of_owner", table, ["tenant_id", "user_id"])
        for statement in fence_statements(table):
            op.execute(statement)
    for table, name in (("procedures", "procedures"), ("procedure_outcomes", "outcomes")):
        cited = sa.text("memory_id IS NOT NULL")
        op.create_index(f"{name}_of_memory", table, ["memory_id"], postgresql_where=cited)


def _owner() -> tuple[sa.Column[str], sa.Column[str]]:
    return (
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text(), nullable=False),
    )
