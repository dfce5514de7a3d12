"""What a memory superseded."""

import sqlalchemy as sa

from pipelines.adapters.postgres.revision import build_index

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    build_index(
        "memories_by_successor",
        "memories",
        ["superseded_by"],
        postgresql_where=sa.text("superseded_by IS NOT NULL"),
    )
