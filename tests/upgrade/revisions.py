"""Revisions as a newer release might have them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.adapters.postgres.schema import known_revisions

if TYPE_CHECKING:
    from pathlib import Path

    # Number, number before, kind, and the statement of Python that it runs.
    Revision = tuple[str, str, str, str]

NEWEST = max(number for number, contracts in known_revisions().items() if not contracts)

GROWN: tuple[Revision, ...] = (
    ("9001", NEWEST, "expand", 'op.execute("ALTER TABLE transcripts ADD COLUMN mood text")'),
    ("9002", "9001", "expand", 'op.execute("CREATE TABLE moods (id int, mood text)")'),
    (
        "9003",
        "9002",
        "expand",
        'build_index("transcripts_by_session", "transcripts", ["session_id"])',
    ),
)


def write_revisions(folder: Path, *revisions: Revision) -> Path:
    """A folder with these revisions."""
    folder.mkdir(exist_ok=True)
    for number, before, kind, doing in revisions:
        lines = (
            f'"""Revision {number}."""',
            "from alembic import op",
            "from pipelines.adapters.postgres.revision import build_index",
            f'revision, down_revision, kind = "{number}", "{before}", "{kind}"',
            "branch_labels = depends_on = None",
            "def upgrade():",
            f"    {doing}",
        )
        (folder / f"{number}_of_a_test.py").write_text("\n".join(lines), encoding="utf-8")
    return folder
