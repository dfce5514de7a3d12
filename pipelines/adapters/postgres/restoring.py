"""A backup put into a database that is empty: in one transaction, and compared before it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import errors, sql
from psycopg.types.json import Jsonb
from sqlalchemy import delete

from pipelines.adapters.postgres.awakening import awaken
from pipelines.adapters.postgres.capture import MOVE_ON, capture_statements
from pipelines.adapters.postgres.contents import read_contents, split_script
from pipelines.adapters.postgres.database import APPLICATION, Database
from pipelines.adapters.postgres.erasure_journal import ErasureJournal
from pipelines.adapters.postgres.fence import POLICY, ROLE, create_role_statement
from pipelines.adapters.postgres.installation import RESTORE
from pipelines.adapters.postgres.migrate import LOCK, migrate
from pipelines.adapters.postgres.sessions import open_session
from pipelines.adapters.postgres.snapshots import (
    VERSION_TABLE,
    find_tables,
    is_half_restored,
    list_revisions,
)
from pipelines.adapters.postgres.tables import installation
from pipelines.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from psycopg import Connection

    from pipelines.adapters.postgres.dump_tools import DumpTools
    from pipelines.ports import Clock, Dump, Erasure, Manifest

_SECTIONS = ("pre-data", "data", "post-data")
# A database that was only started on has these rows, and nothing of anybody.
_OF_NOBODY = frozenset({VERSION_TABLE, installation.name})
_OTHERS = """
SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
AND split_part(application_name, '/', 1) = %s
"""
_BEHIND_FENCE = """
SELECT tablename FROM pg_policies
WHERE schemaname = current_schema() AND policyname = %s ORDER BY tablename
"""
_MOVE_ON = """
SELECT setval(sequence, greatest(nextval(sequence), (SELECT max({column}) FROM {table})))
FROM (SELECT CAST(%s AS regclass) AS sequence) AS named
"""
_IDENTITIES = """
SELECT table_name, column_name,
    pg_get_serial_sequence(quote_ident(table_name), column_name) AS sequence
FROM information_schema.columns
WHERE table_schema = current_schema() AND is_identity = 'YES' AND table_name = ANY(%s)
"""


class PostgresRestoring:
    """``RestoreTarget`` on PostgreSQL.

    Args:
        url: Of the database.
        lease: Of the erasures that are done again.
    """

    def __init__(self, url: str, tools: DumpTools, clock: Clock, lease: timedelta) -> None:
        self._url = url
        self._tools = tools
        self._clock = clock
        self._lease = lease

    def load(self, dump: Dump) -> None:
        manifest = dump.manifest
        _check_revision(manifest)
        with open_session(self._url, "memstill restore") as connection, connection.transaction():
            # Nobody migrates meanwhile, and no other restore begins.
            connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            _check_namespace(connection, manifest)
            _check_unused(connection)
            _make_room(connection)
            _create_role(connection)
            for statement in capture_statements():
                connection.execute(statement.encode())
            for section in _SECTIONS:
                self._run(connection, dump, section)
            _open_fence(connection)
            _move_identities(connection, manifest)
            if "profile_entries" in manifest.tables:
                connection.execute(MOVE_ON.encode())
            _compare(connection, manifest)
            connection.execute(
                "INSERT INTO installation (name, value) VALUES (%s, %s)",
                [RESTORE, Jsonb({"schema_version": 1, "sha256": manifest.sha256})],
            )

    def migrate(self) -> None:
        migrate(self._url)

    def erase_again(self, journal: Sequence[Erasure]) -> int:
        database = Database(self._url, pool_size=1)
        try:
            return ErasureJournal(database).replay(journal, self._clock.now(), self._lease)
        finally:
            database.close()

    def release(self, now: datetime) -> None:
        database = Database(self._url, pool_size=1, statement_ms=0)
        try:
            with database.transaction() as connection:
                awaken(connection, now)
                connection.execute(delete(installation).where(installation.c.name == RESTORE))
        finally:
            database.close()

    def _run(self, connection: Connection, dump: Dump, section: str) -> None:
        with self._tools.script(dump, section) as lines:
            for part in split_script(lines):
                if part.table is None:
                    if part.statement.strip():
                        connection.execute(part.statement)
                    continue
                with connection.cursor() as cursor, cursor.copy(part.statement) as rows:
                    for row in part.rows:
                        rows.write(row)


def _check_revision(manifest: Manifest) -> None:
    known = list_revisions()
    if manifest.moment.revision not in known:
        raise InputError(
            "backup",
            f"is of the schema {manifest.moment.revision}, and this memstill "
            f"knows none newer than {known[0]}; restore it with the memstill that wrote it "
            f"({manifest.memstill}), or a newer one",
        )


def _check_namespace(connection: Connection, manifest: Manifest) -> None:
    row = connection.execute("SELECT current_schema()").fetchone()
    name = None if row is None else row[0]
    if name != manifest.moment.namespace:
        raise ConfigurationError(
            f"the backup's tables are in the schema {manifest.moment.namespace!r}, and the first "
            f"in this user's search_path is {name!r}: create the schema and put it first"
        )


def _check_unused(connection: Connection) -> None:
    row = connection.execute(_OTHERS, [APPLICATION]).fetchone()
    if row is not None and row[0]:
        raise ConfigurationError(
            f"memstill works on this database ({row[0]} connections): stop workers, beat and API, "
            "then restore"
        )


def _make_room(connection: Connection) -> None:
    """Drop the tables of memstill that are there, if they are empty or half restored."""
    tables = find_tables(connection)
    if not tables:
        return
    if not _OF_NOBODY.issubset(tables):
        raise ConfigurationError(
            f"the database has tables of something else ({', '.join(tables)}): restore into one "
            "that is empty; CREATE DATABASE makes one, MEMSTILL_DATABASE_URL names it"
        )
    if not is_half_restored(connection):
        _check_empty(connection, [name for name in tables if name not in _OF_NOBODY])
    names = sql.SQL(", ").join(map(sql.Identifier, tables))
    connection.execute(sql.SQL("DROP TABLE {}").format(names))


def _check_empty(connection: Connection, tables: Sequence[str]) -> None:
    filled = [name for name in tables if _has_rows(connection, name)]
    if filled:
        raise ConfigurationError(
            f"the database is not empty ({', '.join(filled)}): restore into one that is; CREATE "
            "DATABASE makes one, MEMSTILL_DATABASE_URL or --data names it"
        )


def _has_rows(connection: Connection, table: str) -> bool:
    statement = sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.Identifier(table))
    row = connection.execute(statement).fetchone()
    return row is not None and bool(row[0])


def _create_role(connection: Connection) -> None:
    """The policies in the backup name it, and it belongs to the server, not to the database."""
    try:
        connection.execute(create_role_statement().encode())
    except errors.InsufficientPrivilege:
        raise ConfigurationError(
            f"the user of MEMSTILL_DATABASE_URL may not create what is needed: as a superuser run "
            f"CREATE ROLE {ROLE} NOLOGIN, GRANT {ROLE} and CREATE on the schema to that user"
        ) from None


def _open_fence(connection: Connection) -> None:
    """Grant what the migrations grant: privileges are not in the backup."""
    for (name,) in connection.execute(_BEHIND_FENCE, [POLICY]).fetchall():
        table, role = sql.Identifier(name), sql.Identifier(ROLE)
        statement = sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON {} TO {}")
        connection.execute(statement.format(table, role))


def _move_identities(connection: Connection, manifest: Manifest) -> None:
    """No number is given out twice, whatever the backup says of where it was."""
    found = connection.execute(_IDENTITIES, [list(manifest.tables)]).fetchall()
    for table, column, sequence in found:
        names = {"table": sql.Identifier(table), "column": sql.Identifier(column)}
        connection.execute(sql.SQL(_MOVE_ON).format(**names), [sequence])


def _compare(connection: Connection, manifest: Manifest) -> None:
    found = read_contents(connection, find_tables(connection))
    differing = [
        name for name in {*found, *manifest.tables} if found.get(name) != manifest.tables.get(name)
    ]
    if differing:
        raise InputError(
            "backup",
            f"what was loaded is not what its manifest says ({', '.join(sorted(differing))}); "
            "nothing was changed",
        )
