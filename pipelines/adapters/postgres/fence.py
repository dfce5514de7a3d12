"""The second fence between tenants: row-level security, whatever a query forgets to ask for.

A transaction that serves one tenant takes the role ``memstill_tenant`` and names the tenant; the
policies of the tables then show and take the rows of that tenant alone. The owner of the tables,
as whom memstill logs in, is not held by them: sweeping, projecting and claiming look across
tenants.

The policies compare ``tenant_id`` with the setting, plainly. Every query names its tenant the
same way, so PostgreSQL compares the two once for the whole query, before it reads a row, and
plans it as if there were no policy. With any other expression, such as the part of ``tenant_id``
before a sign, each row is tried, a query's own conditions wait for that unless they provably leak
nothing, and the number of rows is guessed 200 times too low.

The owner of a generation's shadows is a tenant of its own here, as everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.errors import error_from_result
from psycopg.pq import Escaping, ExecStatus
from sqlalchemy import text

from pipelines.errors import ConfigurationError, StoreRefused

if TYPE_CHECKING:
    import psycopg
    from sqlalchemy import Connection

    from pipelines.adapters.postgres.database import Database

ROLE = "memstill_tenant"
POLICY = "one_tenant"
IS_OWN = "tenant_id = current_setting('memstill.tenant', true)"

_ENTER = text(
    f"SELECT set_config('role', '{ROLE}', true),"
    " set_config('memstill.tenant', CAST(:tenant_id AS text), true)"
)
_BEGIN_BEHIND = (
    b"BEGIN; SELECT set_config('role', '%b', true), set_config('memstill.tenant', %%b, true)"
    % ROLE.encode()
)
_CREATE_ROLE = f"""
DO $$
DECLARE
    wanted text := CASE
        WHEN current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    BEGIN
        CREATE ROLE {ROLE} NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- it belongs to the whole server: another database has made it
    END;
    IF NOT pg_has_role(current_user, '{ROLE}', wanted) THEN
        EXECUTE format('GRANT {ROLE} TO %I', current_user);
    END IF;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO {ROLE}', current_schema());
END
$$
"""


def begin_behind_fence(connection: psycopg.Connection, tenant_id: str) -> None:
    """Begin a transaction that is one tenant until its end, in a single round trip.

    Raises:
        psycopg.Error: The server refuses, or is away.
    """
    name = Escaping(connection.pgconn).escape_literal(tenant_id.encode())
    result = connection.pgconn.exec_(_BEGIN_BEHIND % name)
    if result.status != ExecStatus.TUPLES_OK:
        raise error_from_result(result)


def enter_fence(connection: Connection, tenant_id: str) -> None:
    """Be one tenant until the end of the transaction."""
    connection.execute(_ENTER, {"tenant_id": tenant_id})


def create_role_statement() -> str:
    """What makes the role, where it is missing, and lets who migrates take it."""
    return _CREATE_ROLE


def fence_statements(table: str, condition: str = IS_OWN) -> tuple[str, ...]:
    """What puts a table behind the fence."""
    return (
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"CREATE POLICY {POLICY} ON {table} TO {ROLE} USING ({condition})",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {ROLE}",
    )


def check_fence(database: Database) -> None:
    """Make sure that this login can stand on both sides of the fence.

    Raises:
        ConfigurationError: It cannot; the message says what to do.
    """
    try:
        with database.transaction() as connection:
            is_held = connection.execute(text("SELECT row_security_active('memories')")).scalar()
        with database.transaction(tenant_id="") as connection:
            connection.execute(text("SELECT FROM memories LIMIT 1"))
    except StoreRefused as error:
        raise ConfigurationError(
            f"the database has not the fence between tenants ({error}): run `memstill migrate`; "
            f"where another user ran it, `GRANT {ROLE} TO` the user of MEMSTILL_DATABASE_URL"
        ) from None
    if is_held:
        raise ConfigurationError(
            "the user of MEMSTILL_DATABASE_URL sees no row of any tenant: log in as the user who "
            "ran `memstill migrate`, or give it BYPASSRLS"
        )
