"""The uses of memories, written down in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.arrays import is_among
from pipelines.adapters.postgres.pins import is_forgotten
from pipelines.adapters.postgres.tables import installation, memories
from pipelines.adapters.postgres.touching import Touch, touch
from pipelines.adapters.postgres.use_rows import add_uses

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Connection

    from pipelines.adapters.postgres.database import Database
    from pipelines.model import MemoryId
    from pipelines.ports import CountedUses

_PORTION = 5_000
# Under this name stand the latest batches that were written down: whoever was stopped with one in
# hand may come with it again.
_NAME, _REMEMBERED = "counted_uses", 60


class PostgresUses:
    """``UseStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_uses(self, counted: CountedUses, now: datetime) -> int:
        with self._database.transaction() as connection:
            if not _is_new(connection, counted.batch):
                return 0
            keys = sorted(counted.uses)
            back = 0
            for start in range(0, len(keys), _PORTION):
                part = keys[start : start + _PORTION]
                add_uses(
                    connection,
                    part,
                    [counted.uses[key] for key in part],
                    [counted.used_at.get(key, now) for key in part],
                )
                back += _bring_back(connection, part, now)
        return back


def _is_new(connection: Connection, batch: str) -> bool:
    """Whether the batch was not written down yet; whoever asks at the same time waits."""
    first = upsert(installation).values(name=_NAME, value={"batches": []})
    connection.execute(first.on_conflict_do_nothing())
    known: dict[str, Any] = connection.execute(
        select(installation.c.value).where(installation.c.name == _NAME).with_for_update()
    ).scalar_one()
    if batch in known["batches"]:
        return False
    latest = [batch, *known["batches"]][:_REMEMBERED]
    connection.execute(
        update(installation).where(installation.c.name == _NAME).values(value={"batches": latest})
    )
    return True


def _bring_back(connection: Connection, keys: Collection[MemoryId], now: datetime) -> int:
    # Recall shows nothing that is evicted: these were used before.
    evicted = (
        select(memories.c.id)
        .where(
            is_among(memories.c.id, keys),
            memories.c.evicted_at.is_not(None),
            ~is_forgotten(memories),
        )
        .order_by(memories.c.id)
        .with_for_update()
    )
    found = list(connection.execute(evicted).scalars())
    why = {key: {"reason": "used"} for key in found}
    return touch(connection, found, Touch("memory_restored", {"evicted_at": None}, why), now)
