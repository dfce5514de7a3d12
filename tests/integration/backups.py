"""Commands that back up and restore, and what a database holds, for tests."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import psycopg
from alembic.autogenerate import compare_metadata
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from psycopg import sql
from sqlalchemy import create_engine
from structlog.testing import capture_logs
from typer.testing import CliRunner

from pipelines.adapters.postgres.database import parse_url
from pipelines.adapters.postgres.schema import FOLDER
from pipelines.adapters.postgres.tables import metadata
from workers import cli

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection


# What a restore changes on purpose: leases end, fences move on, upkeep begins anew.
MOVED = {
    "transcripts": {"fence", "lease_until", "state", "attempts", "turn_at"},
    "owners": {"fence", "lease_until", "attempts"},
    "outbox": {"fence", "lease_until", "attempts"},
    "batches": {"fence", "lease_until"},
    "erasures": {"fence", "lease_until"},
}

Rows = dict[str, list[str]]


def migrate_to(connection: Connection, revision: str) -> None:
    """Make the schema of an older release in an empty database."""
    scripts = ScriptDirectory(str(FOLDER), version_locations=[str(FOLDER / "versions")])
    context = MigrationContext.configure(connection)
    with Operations.context(context):
        for script in reversed(list(scripts.iterate_revisions(revision, "base"))):
            script.module.upgrade()
    context.stamp(scripts, revision)


def run(*words: object, env: dict[str, str] | None = None) -> str:
    """A command that has to succeed; gives what it printed for machines."""
    with capture_logs():
        done = CliRunner().invoke(cli.app, [str(word) for word in words], env=env)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert 0 == done.exit_code, done.output
    return done.stdout


def back_up(url: str, file: Path, **env: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run("backup", file, "--json", env={"MEMSTILL_DATABASE_URL": url} | env)
    )
    return found


def restore(url: str, file: Path, *words: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        run("restore", file, *words, "--json", env={"MEMSTILL_DATABASE_URL": url})
    )
    return found


def rows_of(connection: psycopg.Connection) -> Rows:
    """Every row of every table, as JSON, without what a restore changes."""
    found = {}
    for table in metadata.sorted_tables:
        moved = sorted(MOVED.get(table.name, ()))
        statement = sql.SQL("SELECT CAST(to_jsonb(t) - %s::text[] AS text) FROM {} AS t")
        rows = connection.execute(statement.format(sql.Identifier(table.name)), [moved])
        found[table.name] = sorted(row[0] for row in rows)
    found["installation"] = [row for row in found["installation"] if '"embedding"' in row]
    return found


def fences_of(connection: psycopg.Connection) -> list[Any]:
    """Policies, and what the tenants' role may do."""
    policies = connection.execute(
        "SELECT tablename, policyname, roles, cmd, qual, with_check FROM pg_policies ORDER BY 1, 2"
    ).fetchall()
    grants = connection.execute(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants"
        " WHERE grantee = 'memstill_tenant' ORDER BY 1, 2"
    ).fetchall()
    return [policies, grants]


def differences_of(url: str) -> list[Any]:
    """Where a schema is not the code's."""
    # A plain one: what reads the catalogue for SQLAlchemy does not read binary rows.
    engine = create_engine(parse_url(url))
    try:
        with engine.begin() as connection:
            context = MigrationContext.configure(connection, opts={"compare_type": True})
            found: list[Any] = compare_metadata(context, metadata)
    finally:
        engine.dispose()
    return found


def words_in(url: str, word: str) -> set[str]:
    """The tables in which a word stands."""
    with psycopg.connect(url) as connection:
        return {name for name, rows in rows_of(connection).items() if word in "\n".join(rows)}
