"""Procedures, their versions and outcomes, and the memories that they were learned from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.tables import (
    memories,
    procedure_outcomes,
    procedure_readings,
    procedures,
)
from pipelines.adapters.postgres.tombstones import check_not_erased
from pipelines.errors import InputError, NotFound
from pipelines.model import Kind, MemoryId, Owner
from pipelines.ports.procedures import Telling
from pipelines.stages.procedures import Procedure, ProcedureId, procedure_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from pipelines.adapters.postgres.database import Database
    from pipelines.stages.procedures import Instruction

_VERSIONS = """
SELECT p.id, p.version, p.tenant_id, p.user_id, p.name, p.steps, p.since, p.memory_id,
    count(o.key) FILTER (WHERE o.worked) AS successes,
    count(o.key) FILTER (WHERE NOT o.worked) AS failures,
    coalesce(
        array_agg(o.memory_id ORDER BY o.at) FILTER (WHERE o.memory_id IS NOT NULL), '{}'
    ) AS cites
FROM procedures AS p
LEFT JOIN procedure_outcomes AS o ON o.procedure_id = p.id AND o.version = p.version
"""
_NEWEST = """
    NOT EXISTS (
        SELECT FROM procedures AS later WHERE later.id = p.id AND later.version > p.version
    )
"""
_OF_ID = text(
    f"{_VERSIONS} WHERE p.tenant_id = :tenant AND p.id = :id"
    " AND (CAST(:user AS text) IS NULL OR p.user_id IN (:user, ''))"
    " GROUP BY p.id, p.version ORDER BY p.version DESC"
)
_SEARCH = text(
    f"""
    SELECT * FROM (
        {_VERSIONS} WHERE p.tenant_id = :tenant AND p.user_id IN (:user, '') AND {_NEWEST}
        GROUP BY p.id, p.version
    ) AS found CROSS JOIN LATERAL (
        SELECT count(*) AS hits FROM unnest(CAST(:words AS text[])) AS word
        WHERE to_tsvector('simple', name || ' ' || array_to_string(steps, ' '))
            @@ plainto_tsquery('simple', word)
            OR to_tsvector('english', name || ' ' || array_to_string(steps, ' '))
            @@ plainto_tsquery('english', word) AND numnode(plainto_tsquery('english', word)) > 0
    ) AS said
    WHERE hits > 0 OR cardinality(CAST(:words AS text[])) = 0
    ORDER BY hits DESC, (successes + 1.0) / (successes + failures + 2) DESC, name, id LIMIT :limit
    """  # noqa: S608 - of literals
)
_TELLINGS = text(
    """
    SELECT id, tenant_id, user_id, kind, statement, valid_from FROM memories AS m
    WHERE kind IN ('procedure', 'outcome', 'lesson') AND scope <> 'session'
        AND state = 'active' AND strpos(tenant_id, E'\\x1f') = 0
        AND NOT EXISTS (SELECT FROM procedure_readings AS r WHERE r.memory_id = m.id)
    ORDER BY kind = 'procedure' DESC, valid_from, id LIMIT :limit
    """
)
# Also where it was moved to another side of a generation: who holds its place is read anew.
_OF_GONE = """
memory_id IS NOT NULL AND NOT EXISTS (
    SELECT FROM memories AS m
    WHERE m.id = memory_id AND m.tenant_id = {table}.tenant_id AND m.user_id = {table}.user_id
)
"""


@dataclass(frozen=True, slots=True)
class _Outcome:
    teller: Owner
    key: str
    at: datetime
    worked: bool
    memory_id: MemoryId | None = None


class PostgresProcedures:
    """``ProcedureStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(
        self,
        owner: Owner,
        instruction: Instruction,
        now: datetime,
        *,
        expected_version: int | None = None,
    ) -> Procedure:
        with self._database.transaction(owner.tenant_id) as connection:
            check_not_erased(connection, owner, now)
            newest = _lock_newest(connection, owner, instruction.name)
            found = 0 if newest is None else newest.version
            if expected_version not in {None, found}:
                raise InputError("expected_version", f"is {found} by now; read it again")
            return _add(connection, owner, instruction, now, newest)

    def list_versions(
        self, tenant_id: str, key: ProcedureId, user_id: str | None = None
    ) -> list[Procedure]:
        with self._database.transaction(tenant_id) as connection:
            found = _versions(connection, tenant_id, key, user_id)
        if not found:
            raise _unknown(key)
        return found

    def find_named(self, owner: Owner, name: str) -> Procedure | None:
        with self._database.transaction(owner.tenant_id) as connection:
            for whose in (owner, Owner.everyone(owner.tenant_id)):
                found = _versions(connection, owner.tenant_id, procedure_id(whose, name))
                if found:
                    return found[0]
        return None

    def search(self, owner: Owner, words: Sequence[str], limit: int) -> list[Procedure]:
        values = {
            "tenant": owner.tenant_id,
            "user": owner.user_id,
            "words": list(words),
            "limit": limit,
        }
        with self._database.transaction(owner.tenant_id) as connection:
            return [_read(row) for row in connection.execute(_SEARCH, values).mappings()]

    def record(
        self,
        owner: Owner,
        key: ProcedureId,
        told_by: str,
        now: datetime,
        *,
        worked: bool,
        version: int | None = None,
    ) -> Procedure:
        with self._database.transaction(owner.tenant_id) as connection:
            check_not_erased(connection, owner, now)
            known = _versions(connection, owner.tenant_id, key)
            meant = next((item for item in known if version in {None, item.version}), None)
            if meant is None or meant.owner not in {owner, Owner.everyone(owner.tenant_id)}:
                raise _unknown(key)
            outcome = _Outcome(owner, told_by, now, worked)
            counted = _count(connection, meant, outcome)
            if counted != worked:
                raise InputError("key", "stands for the opposite outcome; send a key of its own")
            again = _versions(connection, owner.tenant_id, key)
        return next(item for item in again if item.version == meant.version)

    def list_tellings(self, limit: int) -> list[Telling]:
        with self._database.transaction() as connection:
            rows = connection.execute(_TELLINGS, {"limit": limit}).all()
        return [
            Telling(MemoryId(row[0]), Owner(row[1], row[2]), Kind(row[3]), row[4], row[5])
            for row in rows
        ]

    def learn(self, telling: Telling, instruction: Instruction) -> bool:
        owner = telling.owner
        with self._database.transaction(owner.tenant_id) as connection:
            if not _mark(connection, telling, has_use=True):
                return False
            newest = _lock_newest(connection, owner, instruction.name)
            # What was said before the newest version was known changes nothing.
            if newest is None or newest.since < telling.said_at:
                _add(
                    connection,
                    owner,
                    instruction,
                    telling.said_at,
                    newest,
                    learned_from=telling.memory_id,
                )
            useless = delete(procedure_readings).where(
                procedure_readings.c.tenant_id == owner.tenant_id,
                procedure_readings.c.user_id == owner.user_id,
                ~procedure_readings.c.has_use,
            )
            connection.execute(useless)
        return True

    def count(self, telling: Telling, key: ProcedureId, *, worked: bool) -> bool:
        owner = telling.owner
        with self._database.transaction(owner.tenant_id) as connection:
            if not _mark(connection, telling, has_use=True):
                return False
            known = _versions(connection, owner.tenant_id, key)
            meant = next((item for item in known if item.since <= telling.said_at), None)
            if meant is None:
                return False
            told_by = f"memory:{telling.memory_id}"
            outcome = _Outcome(owner, told_by, telling.said_at, worked, telling.memory_id)
            _count(connection, meant, outcome)
        return True

    def pass_over(self, telling: Telling) -> None:
        with self._database.transaction(telling.owner.tenant_id) as connection:
            _mark(connection, telling, has_use=False)

    def forget_gone(self) -> int:
        with self._database.transaction() as connection:
            return sum(
                connection.execute(
                    delete(table).where(text(_OF_GONE.format(table=table.name)))
                ).rowcount
                for table in (procedure_outcomes, procedures, procedure_readings)
            )


def _versions(
    connection: Connection, tenant_id: str, key: ProcedureId, user_id: str | None = None
) -> list[Procedure]:
    values = {"tenant": tenant_id, "id": key, "user": user_id}
    return [_read(row) for row in connection.execute(_OF_ID, values).mappings()]


def _lock_newest(connection: Connection, owner: Owner, name: str) -> Procedure | None:
    """The newest version; until the end of the transaction nobody else adds one."""
    key = procedure_id(owner, name)
    lock = func.pg_advisory_xact_lock(func.hashtextextended(str(key), 21))
    connection.execute(select(lock))
    return next(iter(_versions(connection, owner.tenant_id, key)), None)


def _add(
    connection: Connection,
    owner: Owner,
    instruction: Instruction,
    since: datetime,
    newest: Procedure | None,
    *,
    learned_from: MemoryId | None = None,
) -> Procedure:
    if newest is not None and newest.steps == instruction.steps:
        return newest
    added = Procedure(
        id=procedure_id(owner, instruction.name),
        owner=owner,
        name=instruction.name,
        steps=instruction.steps,
        version=1 if newest is None else newest.version + 1,
        since=since,
        learned_from=learned_from,
    )
    row = {
        "id": added.id,
        "version": added.version,
        "tenant_id": owner.tenant_id,
        "user_id": owner.user_id,
        "name": added.name,
        "steps": list(added.steps),
        "since": since,
        "memory_id": learned_from,
    }
    connection.execute(procedures.insert(), row)
    return added


def _count(connection: Connection, meant: Procedure, outcome: _Outcome) -> bool:
    """Count it once; what the key stands for."""
    row = {
        "procedure_id": meant.id,
        "tenant_id": outcome.teller.tenant_id,
        "user_id": outcome.teller.user_id,
        "key": outcome.key,
        "version": meant.version,
        "worked": outcome.worked,
        "at": outcome.at,
        "memory_id": outcome.memory_id,
    }
    connection.execute(upsert(procedure_outcomes).values(row).on_conflict_do_nothing())
    table = procedure_outcomes.c
    told = select(table.worked).where(
        table.procedure_id == meant.id,
        table.user_id == outcome.teller.user_id,
        table.key == outcome.key,
    )
    return bool(connection.execute(told).scalar_one())


def _mark(connection: Connection, telling: Telling, *, has_use: bool) -> bool:
    """Mark a memory as read, unless it is gone; nobody removes it until the end."""
    here = (
        select(memories.c.id).where(memories.c.id == telling.memory_id).with_for_update(read=True)
    )
    if connection.execute(here).one_or_none() is None:
        return False
    row = {
        "memory_id": telling.memory_id,
        "tenant_id": telling.owner.tenant_id,
        "user_id": telling.owner.user_id,
        "has_use": has_use,
    }
    connection.execute(upsert(procedure_readings).values(row).on_conflict_do_nothing())
    return True


def _unknown(key: ProcedureId) -> NotFound:
    return NotFound(f"no procedure, or version of it, has the id {key}")


def _read(row: Mapping[Any, Any]) -> Procedure:
    return Procedure(
        id=ProcedureId(row["id"]),
        owner=Owner(row["tenant_id"], row["user_id"]),
        name=row["name"],
        steps=tuple(row["steps"]),
        version=row["version"],
        since=row["since"],
        learned_from=row["memory_id"] and MemoryId(row["memory_id"]),
        successes=row["successes"],
        failures=row["failures"],
        cites=tuple(map(MemoryId, row["cites"])),
    )
