"""One moment of the database, to be dumped while everybody goes on writing."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from alembic.script import ScriptDirectory
from psycopg import IsolationLevel, errors

from pipelines.adapters.postgres import migrate
from pipelines.adapters.postgres.contents import read_contents
from pipelines.adapters.postgres.dump_tools import Source
from pipelines.adapters.postgres.installation import RESTORE
from pipelines.adapters.postgres.sessions import open_session
from pipelines.adapters.postgres.tables import metadata
from pipelines.errors import ConfigurationError, StoreRefused
from pipelines.ports import Moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from psycopg import Connection

    from pipelines.adapters.postgres.dump_tools import DumpTools, Tool
    from pipelines.ports import TableContent

VERSION_TABLE = "alembic_version"
_TAKE = "SELECT pg_export_snapshot(), now(), current_schema()"


@dataclass(frozen=True, slots=True)
class PostgresSnapshot:
    """``Snapshot`` in a transaction that is held open for it."""

    moment: Moment
    tools: DumpTools
    tool: Tool
    source: Source
    connection: Connection

    def dump(self) -> AbstractContextManager[IO[bytes]]:
        return self.tools.dump(self.source, self.tool)

    def read_tables(self) -> dict[str, TableContent]:
        return read_contents(self.connection, self.source.tables)


class PostgresSnapshots:
    """``SnapshotSource`` on PostgreSQL.

    Args:
        url: Of the database.
        tools: Have a pg_dump that is as new as the server.
    """

    def __init__(self, url: str, tools: DumpTools) -> None:
        self._url = url
        self._tools = tools

    @contextmanager
    def open(self) -> Iterator[PostgresSnapshot]:
        with open_session(self._url, "memstill backup") as connection:
            server = connection.info.server_version // 10_000
            tool = self._tools.find("pg_dump", server)
            # Nobody migrates meanwhile. Taken before the snapshot is, which sees what is then.
            connection.execute("SELECT pg_advisory_lock_shared(%s)", [migrate.LOCK])
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            with connection.transaction():
                token, taken_at, namespace = _first(connection)
                revision = read_revision(connection)
                _check(connection, revision)
                yield PostgresSnapshot(
                    Moment(taken_at, revision, namespace, server, tool.major),
                    self._tools,
                    tool,
                    Source(self._url, token, namespace, find_tables(connection)),
                    connection,
                )


def find_tables(connection: Connection) -> list[str]:
    """The tables of memstill that are there, its version's among them."""
    names = [*metadata.tables, VERSION_TABLE]
    found = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        " AND tablename = ANY(%s) ORDER BY tablename",
        [names],
    )
    return [row[0] for row in found]


def read_revision(connection: Connection) -> str:
    """The revision of the schema.

    Raises:
        ConfigurationError: There is none.
    """
    try:
        with connection.transaction():
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except errors.UndefinedTable:
        row = None
    if row is None:
        raise ConfigurationError(
            "the database has no schema of memstill: name the one that memstill works on in "
            "MEMSTILL_DATABASE_URL"
        )
    return str(row[0])


def list_revisions() -> list[str]:
    """The revisions of the schema that this memstill knows, the newest first."""
    scripts = ScriptDirectory(str(Path(migrate.__file__).parent / "migrations"))
    return [script.revision for script in scripts.walk_revisions()]


def is_half_restored(connection: Connection) -> bool:
    """Whether a restore of it was begun and not finished."""
    statement = "SELECT EXISTS (SELECT FROM installation WHERE name = %s)"
    row = connection.execute(statement, [RESTORE]).fetchone()
    return row is not None and bool(row[0])


def _first(connection: Connection) -> tuple[str, Any, str]:
    row = connection.execute(_TAKE).fetchone()
    if row is None:
        raise StoreRefused("PostgreSQL: no snapshot")
    return row[0], row[1], row[2]


def _check(connection: Connection, revision: str) -> None:
    if revision not in list_revisions():
        raise ConfigurationError(
            f"the database is of a newer schema ({revision}) than this memstill knows: back it "
            "up with the memstill that works on it"
        )
    if is_half_restored(connection):
        raise ConfigurationError(
            "a restore into this database was not finished: run `memstill restore` again first"
        )
