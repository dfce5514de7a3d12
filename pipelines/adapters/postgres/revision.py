"""What a revision may ask for beside Alembic's operations: indexes built while workers write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic import op

if TYPE_CHECKING:
    from collections.abc import Sequence

# In the options of the migration's context: how long a build may wait, in milliseconds.
PATIENCE_MS = "memstill_patience_ms"

_IS_THERE = sa.text(
    "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(quote_ident(:name))"
)


def build_index(
    name: str, table: str, columns: Sequence[str | sa.TextClause], **options: object
) -> None:
    """Build an index on a table that may be large and is written to meanwhile.

    It waits for transactions that began before it, and nobody waits for it. It is built outside
    any transaction, so a revision does nothing else; what an interrupted build has left is
    thrown away first.

    The arguments are those of ``alembic.op.create_index``.
    """
    context = op.get_context()
    with context.autocommit_block():
        op.execute(f"SET lock_timeout = {context.opts.get(PATIENCE_MS, 0)}")
        if not _is_built(context.as_sql, name):
            op.create_index(
                name,
                table,
                list(columns),
                postgresql_concurrently=True,
                **options,  # type: ignore[arg-type]
            )


def _is_built(is_dry: bool, name: str) -> bool:
    if is_dry:
        return False
    is_valid: Any = op.get_bind().execute(_IS_THERE, {"name": name}).scalar()
    if is_valid is False:
        op.drop_index(name, postgresql_concurrently=True)
    return is_valid is True
