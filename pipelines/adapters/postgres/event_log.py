"""The event log of one user after another, beside what the tables have of them."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import orjson
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.arrays import is_among
from pipelines.adapters.postgres.commit import check_claim
from pipelines.adapters.postgres.due import mark_due
from pipelines.adapters.postgres.fence import enter_fence
from pipelines.adapters.postgres.log_snapshots import read_start
from pipelines.adapters.postgres.ownership import is_of
from pipelines.adapters.postgres.rows import evidence_row, memory_row
from pipelines.adapters.postgres.tables import (
    event_snapshots,
    events,
    evidence,
    facts,
    memories,
    owners,
    reviews,
)
from pipelines.adapters.postgres.touching import project
from pipelines.errors import VersionConflict
from pipelines.formats import EVENT
from pipelines.model import FactOutcome, MemoryId
from pipelines.ports import LogSummary, UserLog
from pipelines.stages.event_log import CITED, FIELDS, Entry, Recorded, fold, record

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime
    from uuid import UUID

    from sqlalchemy import Connection

    from pipelines.adapters.postgres.database import Database
    from pipelines.model import Memory, Owner
    from pipelines.ports import OwnerClaim, Rewriting

_ONE_MOMENT = text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")


class PostgresEventLog:
    """``EventLog`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def list_users(self, tenant_id: str, after: str | None, limit: int) -> list[str]:
        statement = select(owners.c.user_id).where(owners.c.tenant_id == tenant_id)
        if after is not None:
            statement = statement.where(owners.c.user_id > after)
        with self._database.transaction() as connection:
            found = connection.execute(statement.order_by(owners.c.user_id).limit(limit))
            return list(found.scalars())

    def read_log(self, owner: Owner) -> UserLog:
        with self._database.transaction() as connection:
            connection.execute(_ONE_MOMENT)
            enter_fence(connection, owner.tenant_id)
            start, through = read_start(connection, owner)
            entries, latest = read_entries(connection, owner, through)
            return UserLog(start, entries, _read_stored(connection, owner), latest)

    def sum_up(self, owner: Owner, settled: int) -> LogSummary:
        with self._database.transaction() as connection:
            connection.execute(_ONE_MOMENT)
            enter_fence(connection, owner.tenant_id)
            start, through = read_start(connection, owner)
            entries, latest = read_entries(connection, owner, through, settled)
        return LogSummary(fold(entries, start), max(latest, settled))

    def rewrite(self, claim: OwnerClaim, what: Rewriting, now: datetime) -> None:
        owner = claim.owner
        with self._database.transaction(owner.tenant_id) as connection:
            check_claim(connection, claim)
            _lock_memories(connection, owner)
            if find_latest(connection, owner) != what.latest:
                raise VersionConflict("something was logged since the log was read")
            _remove(connection, owner, what.removed, now)
            _write(connection, what, now)


def read_entries(
    connection: Connection, owner: Owner, after: int, until: int | None = None
) -> tuple[list[Entry], int]:
    """A user's events between two numbers, and the number of the last one.

    Raises:
        NewerFormat: A newer release wrote one of them.
    """
    is_wanted = [is_of(events, owner), events.c.seq > after]
    if until is not None:
        is_wanted.append(events.c.seq <= until)
    statement = (
        select(
            events.c.seq, events.c.memory_id, events.c.name, events.c.schema_version, events.c.body
        )
        .where(*is_wanted)
        .order_by(events.c.seq)
    )
    found, latest = [], after
    for row in connection.execute(statement):
        EVENT.check(row.schema_version)
        found.append(Entry(MemoryId(row.memory_id), row.name, row.body))
        latest = row.seq
    return found, latest


def find_latest(connection: Connection, owner: Owner) -> int:
    """The number of a user's last event, be it only in the snapshot; 0 if there is none."""
    statement = select(
        func.greatest(
            select(func.max(events.c.seq)).where(is_of(events, owner)).scalar_subquery(),
            select(event_snapshots.c.through)
            .where(is_of(event_snapshots, owner))
            .scalar_subquery(),
            0,
        )
    )
    return int(connection.execute(statement).scalar_one())


def _read_stored(connection: Connection, owner: Owner) -> dict[MemoryId, Recorded]:
    columns = [memories.c[name] for name in ("id", *FIELDS)]
    rows = connection.execute(select(*columns).where(is_of(memories, owner))).mappings().all()
    cited = _read_evidence(connection, owner)
    return {
        MemoryId(row["id"]): record(_to_json(row, FIELDS), cited.get(row["id"], ())) for row in rows
    }


def _read_evidence(connection: Connection, owner: Owner) -> dict[UUID, list[dict[str, Any]]]:
    statement = (
        select(evidence.c.memory_id, *(evidence.c[name] for name in CITED))
        .join(memories, memories.c.id == evidence.c.memory_id)
        .where(is_of(memories, owner))
    )
    found = defaultdict(list)
    for row in connection.execute(statement).mappings():
        found[row["memory_id"]].append(_to_json(row, CITED))
    return found


def _to_json(row: Mapping[Any, Any], names: Collection[str]) -> dict[str, Any]:
    """Values of a row as they are read back from a JSON column."""
    values: dict[str, Any] = orjson.loads(orjson.dumps({name: row[name] for name in names}))
    return values


def _lock_memories(connection: Connection, owner: Owner) -> None:
    """Nobody changes one of them until the end of the transaction, and logs that."""
    statement = select(memories.c.id).where(is_of(memories, owner)).order_by(memories.c.id)
    connection.execute(statement.with_for_update())


def _remove(
    connection: Connection, owner: Owner, keys: Collection[MemoryId], now: datetime
) -> None:
    if not keys:
        return
    connection.execute(
        update(facts)
        .where(is_of(facts, owner), is_among(facts.c.memory_id, keys))
        .values(outcome=FactOutcome.PENDING.value, reason=None, memory_id=None)
    )
    mark_due(connection, owner, now)
    project(connection, is_among(memories.c.id, keys), now)
    for table, key in ((reviews, reviews.c.memory_id), (memories, memories.c.id)):
        connection.execute(delete(table).where(is_of(table, owner), is_among(key, keys)))


def _write(connection: Connection, what: Rewriting, now: datetime) -> None:
    for memory in what.written:
        _write_row(connection, memory, now, has_vector=memory.id in what.embedded)
        _write_evidence(connection, memory)
    project(connection, is_among(memories.c.id, [memory.id for memory in what.written]), now)


def _write_row(connection: Connection, memory: Memory, now: datetime, *, has_vector: bool) -> None:
    row = memory_row(memory, now)
    if has_vector:
        statement = upsert(memories).values(row)
        connection.execute(
            statement.on_conflict_do_update(index_elements=[memories.c.id], set_=row)
        )
        return
    del row["embedding"]
    connection.execute(update(memories).where(memories.c.id == row.pop("id")).values(row))


def _write_evidence(connection: Connection, memory: Memory) -> None:
    """The words that evidence is found by stay: the log does not have them."""
    key = (evidence.c.receipt, evidence.c.message_index, evidence.c.quote_key)
    found = connection.execute(
        delete(evidence).where(evidence.c.memory_id == memory.id).returning(*key, evidence.c.words)
    )
    words = {tuple(row[:3]): row.words for row in found}
    rows = [evidence_row(memory.id, item) for item in memory.evidence]
    for row in rows:
        row["words"] = words.get((row["receipt"], row["message_index"], row["quote_key"]))
    if rows:
        connection.execute(insert(evidence), rows)
