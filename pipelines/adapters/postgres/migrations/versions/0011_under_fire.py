"""Turns, deaths, leases of the outbox, rates of tenants."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_IN_LINE = sa.text("state IN ('queued', 'parked') AND turn_at IS NOT NULL")
_OUT_OF_LINE = sa.text("state IN ('queued', 'parked') AND turn_at IS NULL")


def upgrade() -> None:
    _transcripts()
    op.add_column("owners", _count("deaths", sa.Integer()))
    op.add_column("outbox", _count("change", sa.BigInteger()))
    op.add_column("outbox", _now("due_at"))
    op.add_column("outbox", sa.Column("lease_until", sa.DateTime(timezone=True)))
    op.add_column("outbox", _count("fence", sa.BigInteger()))
    op.add_column("outbox", _count("attempts", sa.Integer()))
    op.add_column("outbox", sa.Column("last_error", sa.Text()))
    op.drop_index("outbox_waiting", table_name="outbox")
    op.create_index("outbox_due", "outbox", ["due_at"])
    op.create_table(
        "tenant_rates",
        sa.Column("tenant_id", sa.Text(), nullable=False),
        sa.Column("free_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id"),
    )


def _transcripts() -> None:
    table = "transcripts"
    op.add_column(table, _count("deaths", sa.Integer()))
    op.add_column(table, sa.Column("turn_at", sa.DateTime(timezone=True)))
    op.create_index(
        "transcripts_in_line", table, ["lane", "tenant_id", "turn_at"], postgresql_where=_IN_LINE
    )
    op.create_index(
        "transcripts_turns", table, ["tenant_id", "user_id", "turn_at"], postgresql_where=_IN_LINE
    )
    op.create_index("transcripts_out_of_line", table, ["due_at"], postgresql_where=_OUT_OF_LINE)
    op.create_index(
        "transcripts_leased",
        table,
        ["lease_until"],
        postgresql_where=sa.text("state = 'distilling'"),
    )
    op.create_index(
        "transcripts_dead",
        table,
        ["tenant_id", "finished_at", "receipt"],
        postgresql_where=sa.text("state = 'dead'"),
    )


def _now(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())


def _count(name: str, kind: sa.Integer) -> sa.Column[int]:
    return sa.Column(name, kind, nullable=False, server_default="0")
