"""What cites a transcript."""

from pipelines.adapters.postgres.revision import build_index

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None
kind = "expand"


def upgrade() -> None:
    build_index("evidence_of_receipt", "evidence", ["receipt"])
