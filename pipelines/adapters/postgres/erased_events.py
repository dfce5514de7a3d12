"""What of the event log an erasure takes: the words, not the fact that something was logged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text, update

from pipelines.adapters.postgres.arrays import is_among
from pipelines.adapters.postgres.tables import events

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from sqlalchemy import Connection

    from pipelines.model import MemoryId, Owner, ReceiptId

ERASED_EVENT = "memory_erased"


def erase_events(connection: Connection, ids: Collection[MemoryId], now: datetime) -> int:
    """Leave of all events of these memories only that they were; gives how many."""
    statement = (
        update(events)
        .where(is_among(events.c.memory_id, ids))
        .values(name=ERASED_EVENT, body={"erased_at": now})
    )
    return connection.execute(statement).rowcount


def find_purged(
    connection: Connection, owner: Owner, receipts: Collection[ReceiptId]
) -> list[MemoryId]:
    """Memories of which only the log still tells that these transcripts had a part in them."""
    found = connection.execute(_FIND_PURGED, _values(owner, receipts)).scalars()
    return list(found)


def clean_events(connection: Connection, owner: Owner, receipts: Collection[ReceiptId]) -> int:
    """Take evidence of these transcripts out of an owner's events; gives of how many."""
    return connection.execute(_CLEAN, _values(owner, receipts)).rowcount


def _values(owner: Owner, receipts: Collection[ReceiptId]) -> dict[str, object]:
    return {"tenant": owner.tenant_id, "user": owner.user_id, "receipts": list(receipts)}


_CITES = """
    tenant_id = :tenant AND user_id = :user AND EXISTS (
        SELECT FROM jsonb_array_elements(
            coalesce(body -> 'added', '[]') || coalesce(body -> 'released', '[]')
        ) AS item WHERE CAST(item ->> 'receipt' AS uuid) = ANY (CAST(:receipts AS uuid[]))
    )
"""
_FIND_PURGED = text(
    f"""
    SELECT DISTINCT memory_id FROM events
    WHERE {_CITES} AND NOT EXISTS (SELECT FROM memories WHERE memories.id = events.memory_id)
    """  # noqa: S608 - put together of constants
)
_CLEAN = text(
    f"""
    UPDATE events SET body = body || jsonb_build_object(
        'added', (
            SELECT coalesce(jsonb_agg(item), '[]') FROM jsonb_array_elements(
                coalesce(body -> 'added', '[]')
            ) AS item WHERE NOT (CAST(item ->> 'receipt' AS uuid) = ANY (CAST(:receipts AS uuid[])))
        ),
        'released', (
            SELECT coalesce(jsonb_agg(item), '[]') FROM jsonb_array_elements(
                coalesce(body -> 'released', '[]')
            ) AS item WHERE NOT (CAST(item ->> 'receipt' AS uuid) = ANY (CAST(:receipts AS uuid[])))
        )
    )
    WHERE {_CITES}
    """  # noqa: S608 - put together of constants
)
