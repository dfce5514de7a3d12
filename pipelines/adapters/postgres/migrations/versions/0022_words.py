"""The words that a memory is found by, when the text that they stood in is gone."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    op.add_column("evidence", sa.Column("words", sa.Text()))
