"""Who is to be consolidated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.inbox_rows import first_fence
from pipelines.adapters.postgres.tables import owners

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection
    from sqlalchemy.dialects.postgresql import Insert

    from pipelines.model import Owner


def mark_due(connection: Connection, owner: Owner, now: datetime) -> None:
    """Something new waits for this user; a leased one is looked at again at release."""
    row = {
        "tenant_id": owner.tenant_id,
        "user_id": owner.user_id,
        "due_at": now,
        "generation": 1,
        "fence": first_fence(now),
    }
    connection.execute(_MARK_DUE, row)


def _mark(statement: Insert) -> Insert:
    return statement.on_conflict_do_update(
        index_elements=[owners.c.tenant_id, owners.c.user_id],
        set_={
            "due_at": func.least(owners.c.due_at, statement.excluded.due_at),
            "generation": owners.c.generation + 1,
        },
    )


# Made once: each transcript that is distilled executes it.
_MARK_DUE = _mark(upsert(owners))
