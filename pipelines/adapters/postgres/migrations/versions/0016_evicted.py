"""When a memory was evicted."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    op.add_column("memories", sa.Column("evicted_at", sa.DateTime(timezone=True)))
