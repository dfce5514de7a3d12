"""Whether a memory is pinned."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    op.add_column(
        "memories", sa.Column("pinned", sa.Boolean(), nullable=False, server_default="false")
    )
