"""The connection to PostgreSQL: one engine, one place where driver errors are translated."""

from __future__ import annotations

import select
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import orjson
import psycopg
from sqlalchemy import URL, Connection, create_engine, event, make_url, text
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    InternalError,
    InvalidatePoolError,
    OperationalError,
    StatementError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pipelines.adapters.postgres.driver import BinaryCursor, RoomyConnection, RoomyPool
from pipelines.adapters.postgres.fence import begin_behind_fence
from pipelines.adapters.postgres.schema import known_revisions
from pipelines.errors import (
    ConfigurationError,
    StoreRefused,
    StoreTooSlow,
    StoreUnavailable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Engine

APPLICATION = "memstill"
STATEMENT_TIMEOUT_MS = 30_000
LOCK_TIMEOUT_MS = 20_000
IDLE_TIMEOUT_MS = 60_000
# A machine that is gone says nothing: by itself the system would wait for hours.
_SIGNS_OF_LIFE = {
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
# Data exception, integrity violation, limit exceeded: the same values fail again.
REFUSED_CLASSES = ("22", "23", "54")
# Its time is over, or that for which it may wait for a lock.
_TIMED_OUT = ("57014", "55P03")


def _to_json(value: object) -> str:
    return orjson.dumps(value).decode()


class Database:
    """Pooled transactions. Calls are safe from many threads; connections open on first use."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 10,
        connect_seconds: int = 5,
        statement_ms: int = STATEMENT_TIMEOUT_MS,
    ) -> None:
        self.engine: Engine = create_engine(
            parse_url(url),
            poolclass=RoomyPool,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=30,
            hide_parameters=True,
            json_serializer=_to_json,
            json_deserializer=orjson.loads,
            connect_args={
                "connect_timeout": connect_seconds,
                "cursor_factory": BinaryCursor,
                # Who takes something away from the schema looks for those who do not know of it.
                "application_name": f"{APPLICATION}/{max(known_revisions())}",
                **_SIGNS_OF_LIFE,
                "options": (
                    f"-c statement_timeout={statement_ms}"
                    f" -c lock_timeout={LOCK_TIMEOUT_MS} -c timezone=UTC"
                    # A frozen worker must not hold its locks for ever.
                    f" -c idle_in_transaction_session_timeout={IDLE_TIMEOUT_MS}"
                ),
            },
        )
        event.listen(self.engine, "do_connect", _connect)
        event.listen(self.engine, "checkout", _refuse_ended)

    @contextmanager
    def transaction(self, tenant_id: str | None = None) -> Iterator[Connection]:
        """A transaction: committed when the block ends, rolled back on any error.

        Args:
            tenant_id: Nothing of any other tenant can be seen or written in it; None where the
                work is about several tenants, or about nobody's rows.

        Raises:
            StoreUnavailable: The server is away, too slow, or cut the connection.
            StoreRefused: It rejects the values; the message names the kind of error only.
        """
        try:
            with self.engine.begin() as connection:
                if tenant_id is not None:
                    self._begin_behind_fence(connection, tenant_id)
                yield connection
        except (StatementError, PoolTimeout) as error:
            # Not chained: the driver's message quotes the values.
            raise translate(error) from None

    def _begin_behind_fence(self, connection: Connection, tenant_id: str) -> None:
        driver: Any = connection.connection.driver_connection
        with _raising_as_sqlalchemy(connection):
            begin_behind_fence(driver, tenant_id)

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


@contextmanager
def in_one_go(connection: Connection) -> Iterator[None]:
    """The statements of the block travel together, and are waited for at its end.

    For statements of which nobody looks at what they answer: there is no answer yet.
    """
    driver: Any = connection.connection.driver_connection
    with _raising_as_sqlalchemy(connection), driver.pipeline():
        yield


@contextmanager
def _raising_as_sqlalchemy(connection: Connection) -> Iterator[None]:
    """An error of the driver becomes what SQLAlchemy makes of it where it called the driver."""
    try:
        yield
    except psycopg.Error as error:
        raise DBAPIError.instance(
            None, None, error, psycopg.Error, dialect=connection.dialect
        ) from None


def _connect(
    _dialect: object, _record: object, args: Sequence[str], options: Mapping[str, Any]
) -> RoomyConnection:
    return RoomyConnection.connect(*args, **options)


def _refuse_ended(connection: psycopg.Connection, *_: object) -> None:
    """Have the pool open another connection where the server has ended this one.

    A server says nothing on a connection at rest but that it ends: there is something to read.
    Asking it for a sign of life, as ``pool_pre_ping`` does, would be a round trip each time.
    """
    at_rest = select.poll()
    at_rest.register(connection.fileno(), select.POLLIN)
    if at_rest.poll(0):
        raise InvalidatePoolError


def parse_url(url: str) -> URL:
    """The address of a database, for SQLAlchemy.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        return make_url(url).set(drivername="postgresql+psycopg")
    except ArgumentError:
        # Not chained: the driver's message quotes the address, and with it the password.
        raise ConfigurationError(
            "MEMSTILL_DATABASE_URL is no address of a database: "
            "write it as postgresql://user:password@host/database"
        ) from None


def translate(error: StatementError | PoolTimeout) -> StoreUnavailable | StoreRefused:
    """The error of the driver as one of memstill; its text holds no value."""
    cause = getattr(error, "orig", None) or error
    name = type(cause).__name__
    state = getattr(cause, "sqlstate", None) or ""
    # ``InternalError``: it only reads, after a failover, or ended a transaction that hung.
    is_passing = isinstance(
        error, OperationalError | InterfaceError | InternalError | PoolTimeout
    ) or (isinstance(error, DBAPIError) and error.connection_invalidated)
    if is_passing and not state.startswith(REFUSED_CLASSES):
        kind = StoreTooSlow if state in _TIMED_OUT else StoreUnavailable
        return kind(
            f"PostgreSQL does not answer as it should ({name}): "
            "check that it runs and that MEMSTILL_DATABASE_URL is right"
        )
    return StoreRefused(f"PostgreSQL: {name}")
