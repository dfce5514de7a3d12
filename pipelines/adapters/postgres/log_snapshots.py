"""What was known of users when so many events had been logged, and which events are settled.

The numbers of events are given out before their transactions commit: behind a number that is seen
there may be a smaller one that is not seen yet. Whoever takes a number has begun to write before.
So all numbers that were given out until a moment are settled when every transaction is over that
had begun to write until then; no clock is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, func, select, text, tuple_
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.compressed import pack, unpack
from pipelines.adapters.postgres.ownership import is_of
from pipelines.adapters.postgres.tables import (
    event_snapshots,
    events,
    installation,
    memories,
    owners,
)
from pipelines.formats import EVENT_SNAPSHOT, SETTLED_MARK
from pipelines.model import EVERYONE, SHADOW, MemoryId, Owner
from pipelines.stages.event_log import NOTHING, Known, Recorded, read_known, spell_known, without

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from sqlalchemy import Connection, Select

    from pipelines.adapters.postgres.database import Database
    from pipelines.model import ReceiptId
    from pipelines.ports import LogSummary

# One query after the other: each of them sees a later moment.
_GIVEN_OUT = text("SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM events_seq_seq")
_NEWEST = text("SELECT CAST(CAST(pg_current_xact_id() AS text) AS bigint)")
_OLDEST = text("SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint)")
_MARKED = ("schema_version", "given_out", "newest", "settled")


class PostgresLogSnapshots:
    """``LogSnapshots`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_settled(self) -> int:
        with self._database.transaction() as connection:
            given_out, newest, oldest = (
                int(connection.execute(query).scalar_one())
                for query in (_GIVEN_OUT, _NEWEST, _OLDEST)
            )
            mark = move_mark(_read_mark(connection), given_out, newest, oldest)
            _write_mark(connection, mark)
        settled: int = mark["settled"]
        return settled

    def find_long(
        self, after: Owner | None, settled: int, each: int, limit: int
    ) -> tuple[list[Owner], Owner | None]:
        with self._database.transaction() as connection:
            rows = connection.execute(select_long(after, settled, each, limit)).all()
        found = [Owner(row.tenant_id, row.user_id) for row in rows if row.is_long]
        last = Owner(rows[-1].tenant_id, rows[-1].user_id) if len(rows) == limit else None
        return found, last

    def read_fence(self, owner: Owner) -> int | None:
        statement = select(owners.c.fence).where(is_of(owners, owner))
        with self._database.transaction(owner.tenant_id) as connection:
            return connection.execute(statement).scalar_one_or_none()

    def keep(self, owner: Owner, summary: LogSummary, fence: int, now: datetime) -> bool:
        statement = select(owners.c.fence).where(is_of(owners, owner))
        with self._database.transaction(owner.tenant_id) as connection:
            # Whoever erases the user, or lets a generation take their place, moves it on.
            if connection.execute(statement.with_for_update()).scalar_one_or_none() != fence:
                return False
            _write(connection, owner, summary.known, summary.through, now)
            return True


def read_start(connection: Connection, owner: Owner) -> tuple[Known, int]:
    """A user's snapshot, and the number of the last event in it; nothing and 0 without one."""
    statement = select(event_snapshots.c.body, event_snapshots.c.through).where(
        is_of(event_snapshots, owner)
    )
    row = connection.execute(statement).one_or_none()
    return (NOTHING, 0) if row is None else (read_snapshot(unpack(row.body)), row.through)


def clean_snapshot(
    connection: Connection,
    owner: Owner,
    ids: Collection[MemoryId],
    receipts: Collection[ReceiptId],
    now: datetime,
) -> int:
    """Take memories and evidence out of a user's snapshot; gives how many memories went."""
    known, through = read_start(connection, owner)
    if not known:
        return 0
    alive = select(memories.c.id).where(is_of(memories, owner))
    kept = set(map(MemoryId, connection.execute(alive).scalars()))
    left = without(known, ids, set(map(str, receipts)), kept)
    _write(connection, owner, left, through, now)
    return len(known) - len(left)


def select_long(after: Owner | None, settled: int, each: int, limit: int) -> Select[Any]:
    """The next users, and whether so many of their settled events are in no snapshot.

    Neither everyone's nor those of generations: theirs are told from the beginning.
    """
    through = func.coalesce(event_snapshots.c.through, 0)
    behind = (
        select(events.c.seq)
        .where(
            events.c.tenant_id == owners.c.tenant_id,
            events.c.user_id == owners.c.user_id,
            events.c.seq > through,
            events.c.seq <= settled,
        )
        .offset(each - 1)
        .limit(1)
    )
    same = and_(
        event_snapshots.c.tenant_id == owners.c.tenant_id,
        event_snapshots.c.user_id == owners.c.user_id,
    )
    key = tuple_(owners.c.tenant_id, owners.c.user_id)
    statement = (
        select(owners.c.tenant_id, owners.c.user_id, exists(behind).label("is_long"))
        .select_from(owners.outerjoin(event_snapshots, same))
        .where(owners.c.user_id != EVERYONE, ~owners.c.tenant_id.contains(SHADOW))
    )
    if after is not None:
        statement = statement.where(key > tuple_(after.tenant_id, after.user_id))
    return statement.order_by(owners.c.tenant_id, owners.c.user_id).limit(limit)


def _write(connection: Connection, owner: Owner, known: Known, through: int, now: datetime) -> None:
    row = {
        "tenant_id": owner.tenant_id,
        "user_id": owner.user_id,
        "through": through,
        "memories": len(known),
        "body": pack(spell_known(known, EVENT_SNAPSHOT.version)),
        "taken_at": now,
    }
    statement = upsert(event_snapshots).values(row)
    keys = [event_snapshots.c.tenant_id, event_snapshots.c.user_id]
    newer = event_snapshots.c.through <= statement.excluded.through
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=row, where=newer))


def read_snapshot(value: Mapping[str, Any]) -> dict[MemoryId, Recorded]:
    """What a snapshot says.

    Raises:
        NewerFormat: It is of a newer release.
    """
    EVENT_SNAPSHOT.check(value["schema_version"])
    return read_known(value)


# ---- which events are settled --------------------------------------------------------------------


def _read_mark(connection: Connection) -> dict[str, Any] | None:
    statement = select(installation.c.value).where(installation.c.name == SETTLED_MARK.name)
    value: dict[str, Any] | None = connection.execute(statement).scalar_one_or_none()
    return None if value is None else read_mark(value)


def read_mark(value: dict[str, Any]) -> dict[str, Any]:
    """What was noted.

    Raises:
        NewerFormat: It is of a newer release.
    """
    SETTLED_MARK.check(value["schema_version"])
    return {name: value[name] for name in _MARKED}


def move_mark(
    known: Mapping[str, Any] | None, given_out: int, newest: int, oldest: int
) -> dict[str, Any]:
    """Where the mark is after a look.

    Args:
        known: What was noted before.
        given_out: The last number that was given out.
        newest: The transaction of this look: whoever took a number until then began before it.
        oldest: The first one that writes still, which may be the same.
    """
    noted = {"schema_version": SETTLED_MARK.version, "given_out": given_out, "newest": newest}
    if oldest >= newest:
        return {**noted, "settled": given_out}
    # Transactions of a database that was restored are counted anew.
    if known is None or known["newest"] > newest:
        return {**noted, "settled": 0}
    if oldest >= known["newest"]:
        return {**noted, "settled": known["given_out"]}
    return dict(known)


def _write_mark(connection: Connection, mark: Mapping[str, Any]) -> None:
    row = {"name": SETTLED_MARK.name, "value": mark}
    statement = upsert(installation).values(row)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[installation.c.name], set_=row)
    )
