"""Changing memories beside a plan: a new version, an event each, and a place in the outbox.

What is changed so is not what holds, only how long it is told: it needs no lease of the user.
Whoever plans meanwhile on the versions before is refused, and plans anew.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, literal, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.arrays import is_among
from pipelines.adapters.postgres.commit import waits_anew
from pipelines.adapters.postgres.tables import events, memories, outbox
from pipelines.formats import EVENT

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import ColumnElement, Connection

    from pipelines.model import MemoryId

# What an event of such a change says of the memory.
SHOWN = ("state", "scope", "version", "pinned", "evicted_at")


@dataclass(frozen=True, slots=True)
class Touch:
    """A change of rows of memories.

    Attributes:
        event_name: What the log calls it.
        values: Columns of ``memories`` by name.
        why: More for the event of each memory, by its id.
    """

    event_name: str
    values: Mapping[str, Any]
    why: Mapping[MemoryId, Mapping[str, Any]] = field(default_factory=dict)


def touch(connection: Connection, keys: Collection[UUID], change: Touch, now: datetime) -> int:
    """Change memories whose rows the transaction has locked; gives how many."""
    if not keys:
        return 0
    statement = (
        update(memories)
        .where(is_among(memories.c.id, keys))
        .values(version=memories.c.version + 1, **change.values)
        .returning(*(memories.c[name] for name in ("id", "tenant_id", "user_id", *SHOWN)))
    )
    rows = connection.execute(statement).mappings().all()
    connection.execute(insert(events), [_event(row, change, now) for row in rows])
    project(connection, is_among(memories.c.id, keys), now)
    return len(rows)


def project(connection: Connection, condition: ColumnElement[bool], now: datetime) -> None:
    """Have the index told of memories; in one order for all writers, so that none deadlocks."""
    source = select(
        memories.c.id, memories.c.tenant_id, memories.c.user_id, literal(now), literal(now)
    ).where(condition)
    columns = ["memory_id", "tenant_id", "user_id", "enqueued_at", "due_at"]
    statement = upsert(outbox).from_select(columns, source.order_by(memories.c.id))
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[outbox.c.memory_id], set_=waits_anew(statement)
        )
    )


def _event(row: Mapping[Any, Any], change: Touch, now: datetime) -> dict[str, Any]:
    shown = {name: row[name] for name in SHOWN}
    return {
        "tenant_id": row["tenant_id"],
        "user_id": row["user_id"],
        "memory_id": row["id"],
        "name": change.event_name,
        "schema_version": EVENT.version,
        "body": {"memory": shown, **change.why.get(row["id"], {})},
        "at": now,
    }
