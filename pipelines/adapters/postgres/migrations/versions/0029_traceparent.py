"""The trace that a transcript belongs to."""

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    op.add_column("transcripts", sa.Column("traceparent", sa.Text()))
