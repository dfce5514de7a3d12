"""Receipts of sessions whose rows are gone: in the archive, or forgotten there, too.

What was said in them may be cited still: by what is everyone's, and by what was logged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from sqlalchemy import select, text

from pipelines.adapters.postgres.arrays import is_any
from pipelines.adapters.postgres.log_snapshots import read_start
from pipelines.adapters.postgres.tables import old_receipts
from pipelines.model import Owner, ReceiptId

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import Connection

_CITED = text(
    """
    SELECT DISTINCT CAST(item ->> 'receipt' AS uuid)
    FROM events CROSS JOIN LATERAL jsonb_array_elements(
        coalesce(body -> 'added', '[]') || coalesce(body -> 'released', '[]')
    ) AS item
    WHERE tenant_id = :tenant AND user_id = :user AND item ->> 'session_id' = :session
    """
)


def list_past(
    connection: Connection, whose: Collection[Owner], session_id: str | None
) -> list[ReceiptId]:
    """Those of a user under all their names, or of one session of theirs."""
    archived = select(old_receipts.c.receipt).where(is_any(old_receipts, whose))
    if session_id is None:
        return [ReceiptId(key) for key in connection.execute(archived).scalars()]
    found = set[UUID](
        connection.execute(archived.where(old_receipts.c.session_id == session_id)).scalars()
    )
    for owner in whose:
        found |= _list_cited(connection, owner, session_id)
    return [ReceiptId(key) for key in sorted(found)]


def _list_cited(connection: Connection, owner: Owner, session_id: str) -> set[UUID]:
    values = {"tenant": owner.tenant_id, "user": owner.user_id, "session": session_id}
    known, _ = read_start(connection, owner)
    summed_up = {
        UUID(place[0])
        for memory in known.values()
        for place, item in memory.evidence.items()
        if item["session_id"] == session_id
    }
    return summed_up | set(connection.execute(_CITED, values).scalars())
