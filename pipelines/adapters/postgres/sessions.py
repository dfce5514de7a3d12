"""Connections beside the pool: as long as they take, and with the driver's own means."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
from psycopg.conninfo import make_conninfo

from pipelines.adapters.postgres.database import LOCK_TIMEOUT_MS, parse_url
from pipelines.errors import StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

# What rows look like as text must not depend on how a server is set up.
_OPTIONS = (
    "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0 -c timezone=UTC"
    f" -c datestyle=ISO -c bytea_output=hex -c lock_timeout={LOCK_TIMEOUT_MS}"
)
_SECRETS = ("password", "sslpassword")


@contextmanager
def open_session(url: str, name: str) -> Iterator[psycopg.Connection]:
    """A connection that no time limits; errors of the driver are translated in the block, too.

    Args:
        url: As memstill is given it.
        name: Of the application, for those who look who is connected.

    Raises:
        StoreUnavailable: The server is away, or cut the connection.
        StoreRefused: It rejects what was asked for; the message names the kind of error only.
    """
    try:
        with psycopg.connect(
            make_conninfo("", **_connect_args(url)),
            autocommit=True,
            connect_timeout=5,
            application_name=name,
            options=_OPTIONS,
        ) as connection:
            yield connection
    except psycopg.OperationalError as error:
        # Not chained: the driver's message may quote values.
        raise StoreUnavailable(
            f"PostgreSQL does not answer as it should ({type(error).__name__}): "
            "check that it runs and that MEMSTILL_DATABASE_URL is right"
        ) from None
    except psycopg.Error as error:
        raise StoreRefused(f"PostgreSQL: {type(error).__name__}") from None


def open_address(url: str) -> tuple[str, dict[str, str]]:
    """The address for a command line, which everybody can read; secrets go by environment."""
    values = _connect_args(url)
    shown = {key: value for key, value in values.items() if key not in _SECRETS}
    secret = {"PGPASSWORD": values["password"]} if "password" in values else {}
    return make_conninfo("", **shown), secret


def _connect_args(url: str) -> dict[str, str]:
    """As libpq calls them. SQLAlchemy's own rendering of an address is none for libpq."""
    parsed = parse_url(url)
    _, found = parsed.get_dialect()().create_connect_args(parsed)
    return {key: str(value) for key, value in found.items()}
