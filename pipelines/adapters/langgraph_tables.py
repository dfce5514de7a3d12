"""The tables that LangGraph keeps checkpoints in, cleaned beside the graphs that write them.

A thread's portion is one transaction on one sight of the thread (REPEATABLE READ): what a run
saves meanwhile is not seen, so it is not deleted. It needs nothing that goes either: a checkpoint
refers to what its parent refers to and to what its run has written, and the parents of those to
come stay. If both sides change one row, PostgreSQL ends this side, and the thread is left for
the next time.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import errors

from pipelines.adapters import langgraph_statements as ask
from pipelines.errors import ConfigurationError, StoreUnavailable
from pipelines.ports.threads import Amount
from pipelines.stages.threads import Position

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.ports.threads import Choose

    _Values = dict[str, Any]

MIGRATIONS = range(4, 10)
"""Those after which the tables hold what is read here; a later one may change what it means."""
_NEEDED_COLUMNS = frozenset(
    {
        "checkpoints.checkpoint_id",
        "checkpoints.parent_checkpoint_id",
        "checkpoint_blobs.version",
        "checkpoint_writes.checkpoint_id",
    }
)
_IN_THE_WAY = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.QueryCanceled,
)


@dataclass(frozen=True, slots=True)
class LangGraphStore:
    """The database of one LangGraph installation.

    Attributes:
        url: As libpq understands it; a search path in it says in which schema the tables are.
    """

    url: str

    @contextmanager
    def open(self) -> Iterator[LangGraphTables]:
        with _told():
            connection = psycopg.connect(
                self.url,
                autocommit=True,
                connect_timeout=10,
                application_name="memstill checkpoints clean",
                # A machine that is gone says nothing: by itself the system would wait for hours.
                keepalives_idle=15,
                keepalives_interval=5,
                keepalives_count=3,
                tcp_user_timeout=30_000,
            )
        with connection:
            with _told():
                connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
                # Each statement is planned for the arrays that it gets.
                connection.prepare_threshold = None
                _check_form(connection)
            yield LangGraphTables(connection)


@dataclass(frozen=True, slots=True)
class LangGraphTables:
    """Its tables, through one connection."""

    connection: psycopg.Connection[tuple[Any, ...]]

    def find_long(self, keep: int, after: str | None, limit: int) -> list[str]:
        values = {"keep": keep, "after": after, "limit": limit}
        with _told():
            return [row[0] for row in self.connection.execute(ask.FIND_LONG, values)]

    def remove(self, thread_id: str, choose: Choose, *, is_dry: bool = False) -> Amount | None:
        try:
            with _told(), self.connection.transaction():
                return self._remove(thread_id, choose, is_dry=is_dry)
        except _IN_THE_WAY:
            return None

    def measure(self) -> Amount:
        with _told():
            return self._amount(
                (ask.ALL_CHECKPOINTS, [{}]), (ask.ALL_WRITES, [{}]), (ask.ALL_BLOBS, [{}])
            )

    def _remove(self, thread_id: str, choose: Choose, *, is_dry: bool) -> Amount | None:
        self.connection.execute(ask.LIMIT_WAITING)
        values = {"thread": thread_id}
        # A dry run waits for nobody, and nobody waits for it.
        if not is_dry and not self._is(ask.TRY_LOCK, values):
            return None
        if self._is(ask.IS_FOREIGN, values):
            return None
        total = Amount()
        for namespace, ids in choose(self._read(thread_id)).items():
            total += self._empty(values | {"ns": namespace, "ids": ids}, is_dry=is_dry)
        return total

    def _read(self, thread_id: str) -> dict[str, list[Position]]:
        delta = [row[0] for row in self._ask(ask.DELTA_CHANNELS, {"thread": thread_id})]
        values = {"thread": thread_id, "delta": delta, "tasks": ask.TASKS}
        thread: dict[str, list[Position]] = {}
        for namespace, own, parent, saved, root, needs in self._ask(ask.POSITIONS, values):
            position = Position(own, parent, _time(saved), root, bool(needs))
            thread.setdefault(namespace, []).append(position)
        return thread

    def _empty(self, values: _Values, *, is_dry: bool) -> Amount:
        """Take checkpoints of one namespace away, or only count them."""
        blobs = [
            values | {"channel": channel, "versions": versions}
            for channel, versions in self._find_unneeded(values).items()
        ]
        if is_dry:
            return self._amount(
                (ask.COUNT_CHECKPOINTS, [values]),
                (ask.COUNT_WRITES, [values]),
                (ask.COUNT_BLOBS, blobs),
            )
        gone = self._amount(
            (ask.DELETE_CHECKPOINTS, [values]),
            (ask.DELETE_WRITES, [values]),
            (ask.DELETE_BLOBS, blobs),
        )
        self.connection.execute(ask.CUT_PARENTS, values)
        return gone

    def _find_unneeded(self, values: _Values) -> dict[str, list[str]]:
        """Versions of channels that these checkpoints refer to, and no other one does."""
        needed = set(self._ask(ask.NEEDED, values))
        found: dict[str, list[str]] = {}
        for channel, version in self._ask(ask.FREED, values):
            if (channel, version) not in needed:
                found.setdefault(channel, []).append(version)
        return found

    def _amount(self, *statements: tuple[LiteralString, list[_Values]]) -> Amount:
        """What statements say of checkpoints, writes and blobs, in this order."""
        rows, size = [], 0
        for statement, many in statements:
            told = [row for values in many for row in self._ask(statement, values)]
            rows.append(sum(row[0] for row in told))
            size += sum(row[1] for row in told)
        return Amount(rows[0], rows[1], rows[2], size)

    def _is(self, statement: LiteralString, values: _Values) -> bool:
        return bool(self._ask(statement, values)[0][0])

    def _ask(self, statement: LiteralString, values: _Values) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement, values).fetchall()


def _check_form(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    columns = {row[0] for row in connection.execute(ask.COLUMNS)}
    if "checkpoint_migrations.v" not in columns:
        raise ConfigurationError(
            "that database has no tables of langgraph-checkpoint-postgres: name the one that the "
            "graphs use, with ?options=-csearch_path%3DNAME where they are in another schema"
        )
    [version] = connection.execute(ask.VERSION).fetchone() or (None,)
    if not columns >= _NEEDED_COLUMNS or version not in MIGRATIONS:
        known = f"{MIGRATIONS[0]} to {MIGRATIONS[-1]}"
        raise ConfigurationError(
            f"the tables of LangGraph are at migration {version} of their own, and memstill knows "
            f"{known} of PostgresSaver (a ShallowPostgresSaver keeps nothing that could be "
            "cleaned): nothing was changed"
        )


@contextmanager
def _told() -> Iterator[None]:
    """Errors of the driver as those of memstill; none of them quotes an address or a value."""
    try:
        yield
    except _IN_THE_WAY:
        raise
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise StoreUnavailable(
            f"LangGraph's PostgreSQL does not answer as it should ({type(error).__name__}): check "
            "that it runs and that its address is right"
        ) from None
    except errors.InsufficientPrivilege:
        raise ConfigurationError(
            "who is named in the address of LangGraph's database may not read, update and delete "
            "in checkpoints, checkpoint_writes and checkpoint_blobs"
        ) from None
    except psycopg.ProgrammingError as error:
        raise ConfigurationError(
            f"LangGraph's database cannot be used ({type(error).__name__}): write its address as "
            "postgresql://user:password@host/database"
        ) from None


def _time(written: str | None) -> datetime | None:
    try:
        found = datetime.fromisoformat(written or "")
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)
