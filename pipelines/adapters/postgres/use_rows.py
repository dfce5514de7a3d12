"""The rows that say how memories were used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from pipelines.model import MemoryId

# A memory that was deleted since is left out. One order for all writers. Whoever evicts at this
# moment is waited for, or passes the memory over: else neither would see what the other did.
_ADD = text(
    """
    INSERT INTO memory_uses AS known (memory_id, tenant_id, user_id, uses, used_at)
    SELECT memories.id, memories.tenant_id, memories.user_id, counted.uses, counted.used_at
    FROM unnest(CAST(:keys AS uuid[]), CAST(:uses AS bigint[]), CAST(:at AS timestamptz[]))
        AS counted (id, uses, used_at)
    JOIN memories ON memories.id = counted.id
    ORDER BY memories.id
    FOR KEY SHARE OF memories
    ON CONFLICT (memory_id) DO UPDATE SET
        uses = known.uses + excluded.uses,
        used_at = greatest(known.used_at, excluded.used_at)
    """
)


def add_uses(
    connection: Connection,
    keys: Sequence[MemoryId],
    uses: Sequence[int],
    used_at: Sequence[datetime],
) -> None:
    """Add uses to memories that are there; ``keys`` in ascending order."""
    connection.execute(_ADD, {"keys": list(keys), "uses": list(uses), "at": list(used_at)})
