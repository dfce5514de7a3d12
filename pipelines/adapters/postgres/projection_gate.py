"""The gate between those who write the index and a rebuild of it, and how far upkeep is.

Writers share an advisory lock for as long as they write; beginning and ending a rebuild takes it
alone. Whoever dies gives his part back with his connection.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Connection, select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines import formats
from pipelines.adapters.postgres.tables import installation
from pipelines.model import MemoryId
from pipelines.ports import Difference, Rebuild, Round, Standing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import timedelta

    from pipelines.adapters.postgres.database import Database

REBUILD, ROUND = "rebuild", "reconcile"

_SHARE = text("SELECT pg_advisory_xact_lock_shared(hashtextextended('memstill.projection', 0))")
_EXCLUDE = text("SELECT pg_advisory_xact_lock(hashtextextended('memstill.projection', 0))")


class PostgresRebuildTurn:
    """``RebuildTurn`` on a locked row."""

    def __init__(self, connection: Connection, rebuild: Rebuild) -> None:
        self._connection = connection
        self._rebuild = rebuild

    @property
    def rebuild(self) -> Rebuild:
        return self._rebuild

    def save(self, rebuild: Rebuild) -> None:
        _write(self._connection, REBUILD, _rebuild_value(rebuild))
        self._rebuild = rebuild

    def exclude_writers(self) -> None:
        self._connection.execute(_EXCLUDE)


class PostgresRebuilds:
    """``RebuildStore`` on PostgreSQL.

    Args:
        database: Has a connection for each writer, beside what they take otherwise.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def sharing(self) -> Iterator[str | None]:
        with self._database.transaction() as connection:
            connection.execute(_SHARE)
            # In a statement of its own: it sees what was committed while the lock was awaited.
            found = _find(connection)
            yield found.token if found is not None and found.is_under_way else None

    def begin(self, rebuild: Rebuild) -> Rebuild:
        with self._database.transaction() as connection:
            connection.execute(_EXCLUDE)
            present = _find(connection)
            if present is not None and present.is_under_way:
                return present
            _write(connection, REBUILD, _rebuild_value(rebuild))
        return rebuild

    def find(self) -> Rebuild | None:
        with self._database.transaction() as connection:
            return _find(connection)

    @contextmanager
    def turn(self, *, is_patient: bool = False) -> Iterator[PostgresRebuildTurn | None]:
        with self._database.transaction() as connection:
            value = _lock(connection, REBUILD, is_patient=is_patient)
            found = None if value is None else _read_rebuild(value)
            is_mine = found is not None and found.is_under_way
            yield PostgresRebuildTurn(connection, found) if found is not None and is_mine else None


class PostgresRoundTurn:
    """``RoundTurn`` on a locked row."""

    def __init__(self, connection: Connection, state: Round) -> None:
        self._connection = connection
        self._round = state

    @property
    def round(self) -> Round:
        return self._round

    def save(self, state: Round) -> None:
        _write(self._connection, ROUND, _round_value(state))
        self._round = state


class PostgresRounds:
    """``RoundStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @contextmanager
    def turn(self, now: datetime, interval: timedelta) -> Iterator[PostgresRoundTurn | None]:
        with self._database.transaction() as connection:
            # A round that never was has begun long ago: the first one is due.
            first = _round_value(Round(now - interval, now))
            row = {"name": ROUND, "value": first}
            connection.execute(upsert(installation).on_conflict_do_nothing(), row)
            value = _lock(connection, ROUND)
            state = None if value is None else _due(_read_round(value), now, interval)
            yield None if state is None else PostgresRoundTurn(connection, state)


def _due(latest: Round, now: datetime, interval: timedelta) -> Round | None:
    if latest.finished_at is None:
        return latest
    return Round(now) if latest.started_at + interval <= now else None


def _find(connection: Connection) -> Rebuild | None:
    value = connection.execute(
        select(installation.c.value).where(installation.c.name == REBUILD)
    ).scalar_one_or_none()
    return None if value is None else _read_rebuild(value)


def _lock(connection: Connection, name: str, *, is_patient: bool = False) -> Any:  # noqa: ANN401 - JSON
    statement = select(installation.c.value).where(installation.c.name == name)
    locked = statement.with_for_update(skip_locked=not is_patient)
    return connection.execute(locked).scalar_one_or_none()


def _write(connection: Connection, name: str, value: dict[str, Any]) -> None:
    statement = upsert(installation)
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[installation.c.name], set_={"value": statement.excluded.value}
        ),
        {"name": name, "value": value},
    )


def _rebuild_value(rebuild: Rebuild) -> dict[str, Any]:
    return {
        "schema_version": formats.REBUILD.version,
        "token": rebuild.token,
        "started_at": rebuild.started_at,
        "expected": rebuild.expected,
        "standing": rebuild.standing,
        "after": rebuild.after,
        "compared": rebuild.compared,
        "is_complete": rebuild.is_complete,
    }


def _read_rebuild(value: dict[str, Any]) -> Rebuild:
    formats.REBUILD.check(value["schema_version"])
    return Rebuild(
        token=value["token"],
        started_at=datetime.fromisoformat(value["started_at"]),
        expected=value["expected"],
        standing=Standing(value["standing"]),
        after=_read_key(value["after"]),
        compared=value["compared"],
        is_complete=value["is_complete"],
    )


def _round_value(state: Round) -> dict[str, Any]:
    return {
        "schema_version": formats.ROUND.version,
        "started_at": state.started_at,
        "finished_at": state.finished_at,
        "after": state.after,
        "compared": state.compared,
        "found": {kind.value: count for kind, count in state.found.items()},
    }


def _read_round(value: dict[str, Any]) -> Round:
    formats.ROUND.check(value["schema_version"])
    finished_at = value["finished_at"]
    return Round(
        started_at=datetime.fromisoformat(value["started_at"]),
        finished_at=None if finished_at is None else datetime.fromisoformat(finished_at),
        after=_read_key(value["after"]),
        compared=value["compared"],
        found={Difference(kind): count for kind, count in value["found"].items()},
    )


def _read_key(value: str | None) -> MemoryId | None:
    return None if value is None else MemoryId(UUID(value))
