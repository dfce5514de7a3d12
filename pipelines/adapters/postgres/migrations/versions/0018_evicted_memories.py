"""The evicted memories."""

import sqlalchemy as sa

from pipelines.adapters.postgres.revision import build_index

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    build_index(
        "memories_evicted",
        "memories",
        ["evicted_at"],
        postgresql_where=sa.text("evicted_at IS NOT NULL"),
    )
