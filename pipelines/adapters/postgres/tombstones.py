"""What was erased is not taken in again by whoever still holds an entry of the Stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import func, select, text

from pipelines.adapters.postgres.tables import erasures
from pipelines.errors import ErasedMeanwhile
from pipelines.model import SHADOW
from pipelines.ports import Subject

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from pipelines.model import Owner, ReceiptId, Transcript

# The fixed number keeps these locks apart from others on hashes.
_NAMES = "hashtextextended(name, 11)) FROM unnest(CAST(:names AS text[])) AS name"
_LOCK = text(f"SELECT pg_advisory_xact_lock({_NAMES}")
_LOCK_SHARED = text(f"SELECT pg_advisory_xact_lock_shared({_NAMES}")


def lock_subjects(
    connection: Connection, whose: Collection[Owner], *, exclusive: bool = False
) -> None:
    """Until the end of the transaction nobody erases these owners, or nobody else takes in."""
    names = [SHADOW.join(owner.names) for owner in sorted(whose)]
    connection.execute(_LOCK if exclusive else _LOCK_SHARED, {"names": names})


def find_erased(connection: Connection, batch: Sequence[Transcript]) -> set[ReceiptId]:
    """Those whose subject was erased after they had been pushed on the Stream.

    Nobody is erased between this look and the end of the transaction.
    """
    streamed = [item for item in batch if item.pushed_at is not None]
    if not streamed:
        return set()
    lock_subjects(connection, {item.owner for item in streamed})
    marks = _find_marks(connection, {key for item in streamed for key in _keys_of(item)})
    return {item.id for item in streamed if _is_before(item, marks)}


def is_erased(connection: Connection, owner: Owner, pushed_at: datetime) -> bool:
    """Whether an entry of this owner, pushed then, was erased since."""
    lock_subjects(connection, [owner])
    key = Subject(owner).key
    mark = _find_marks(connection, {key}).get(key)
    return mark is not None and pushed_at <= mark


def check_not_erased(
    connection: Connection, owner: Owner, began_at: datetime, sessions: Collection[str] = ()
) -> None:
    """See to it that nobody has erased an owner, or one of these sessions, since a write began.

    Nobody erases them between this look and the end of the transaction.

    Raises:
        ErasedMeanwhile: Somebody has: what is written now would outlive the erasure.
    """
    lock_subjects(connection, [owner])
    keys = {Subject(owner).key, *(Subject(owner, session).key for session in sessions)}
    mark = select(erasures.c.id).where(
        erasures.c.subject_key.in_(sorted(keys)), erasures.c.requested_at >= began_at
    )
    if connection.execute(mark.limit(1)).one_or_none() is not None:
        raise ErasedMeanwhile("user_id: was erased while this was being saved")


def _find_marks(connection: Connection, keys: Collection[str]) -> dict[str, datetime]:
    statement = (
        select(erasures.c.subject_key, func.max(erasures.c.mark_at))
        .where(erasures.c.subject_key.in_(sorted(keys)))
        .group_by(erasures.c.subject_key)
    )
    return {row[0]: row[1] for row in connection.execute(statement)}


def _keys_of(item: Transcript) -> tuple[str, str]:
    return Subject(item.owner).key, Subject(item.owner, item.session_id).key


def _is_before(item: Transcript, marks: dict[str, datetime]) -> bool:
    found = [marks[key] for key in _keys_of(item) if key in marks]
    return item.pushed_at is not None and any(item.pushed_at <= mark for mark in found)
