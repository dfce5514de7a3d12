"""The connection to PostgreSQL: one engine, one place where driver errors are translated."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import orjson
from sqlalchemy import Connection, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pipelines.errors import StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 20_000


def _to_json(value: object) -> str:
    return orjson.dumps(value).decode()


class Database:
    """Pooled transactions. Calls are safe from many threads; connections open on first use."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.engine: Engine = create_engine(
            make_url(url).set(drivername="postgresql+psycopg"),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=30,
            pool_pre_ping=True,
            json_serializer=_to_json,
            json_deserializer=orjson.loads,
            connect_args={
                "connect_timeout": 5,
                "application_name": "memstill",
                "options": (
                    f"-c statement_timeout={STATEMENT_TIMEOUT_MS}"
                    f" -c lock_timeout={LOCK_TIMEOUT_MS} -c timezone=UTC"
                ),
            },
        )

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction: committed when the block ends, rolled back on any error.

        Raises:
            StoreUnavailable: The server is away, too slow, or cut the connection.
            StoreRefused: It rejects the values; the message names the kind of error only.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise StoreUnavailable(f"PostgreSQL: {type(error).__name__}") from error
        except StatementError as error:
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise StoreUnavailable("PostgreSQL: connection lost") from error
            # Not chained: the driver's message quotes the values.
            raise StoreRefused(f"PostgreSQL: {type(error.orig or error).__name__}") from None

    def ping(self) -> None:
        """Ask the server for an answer.

        Raises:
            StoreUnavailable: There is none.
        """
        with self.transaction() as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close every idle connection."""
        self.engine.dispose()
