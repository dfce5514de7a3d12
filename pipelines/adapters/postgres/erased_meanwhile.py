"""What was erased of a user while rows of theirs were on the way into the archive."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import and_, or_, select

from pipelines.adapters.postgres.tables import erasures
from pipelines.model import MemoryId
from pipelines.ports import ErasedPart, Subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection

    from pipelines.ports import Portion


def find_erased(connection: Connection, portion: Portion) -> list[ErasedPart]:
    """The user, or sessions of theirs, erased after these rows came to be.

    Of those that are proven only the hashes of their names are known, so they are asked for by
    the sessions that stand in the rows.
    """
    owner, rows = portion.owner, list(map(orjson.loads, portion.lines))
    sessions = {name for row in rows for name in _sessions_of(row)}
    names = {Subject(owner, name).key: name for name in sessions}
    keys = [Subject(owner).key, *names]
    is_of_user = and_(erasures.c.tenant_id == owner.tenant_id, erasures.c.user_id == owner.user_id)
    statement = select(erasures).where(
        erasures.c.requested_at >= max(map(_moment_of, rows)),
        or_(erasures.c.subject_key.in_(keys), is_of_user),
    )
    return [
        ErasedPart(
            row["session_id"] or names.get(row["subject_key"]),
            tuple(map(MemoryId, row["memory_ids"])),
        )
        for row in connection.execute(statement).mappings()
    ]


def _sessions_of(row: Mapping[str, Any]) -> Sequence[str]:
    if "memory_id" not in row:
        return [row["session_id"]]
    body = row["body"]
    return [item["session_id"] for item in (*body.get("added", ()), *body.get("released", ()))]


def _moment_of(row: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(row["at"] if "memory_id" in row else row["finished_at"])
