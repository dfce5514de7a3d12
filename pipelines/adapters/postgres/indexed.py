"""Which memories have a point in the index: ``Memory.is_indexed`` as a condition on rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import and_

from pipelines.adapters.postgres.tables import memories
from pipelines.model import MemoryState

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement

# To be read, where the condition is wanted of a row that was.
IS_INDEXED = "is_indexed"


def is_indexed() -> ColumnElement[bool]:
    """It says something of its own, and is in use."""
    return and_(memories.c.state != MemoryState.MERGED.value, memories.c.evicted_at.is_(None))
