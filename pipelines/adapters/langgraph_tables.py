"""The tables that LangGraph keeps checkpoints in, cleaned beside the graphs that write them.

A thread's portion is one transaction. What goes is named by its id, so what a run saves meanwhile
does not; and which blobs are still needed is asked of all checkpoints that are there when theirs
have gone (READ COMMITTED: also of those that were saved since). A run that goes on refers to
nothing that goes: only to what its parent refers to, which stays, and to what it wrote itself. If
both sides change one row, this side gives way, and the thread is left for the next time.
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
    from collections.abc import Iterable, Iterator, Sequence

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
    # A checkpoint of a form that this cannot take apart.
    psycopg.DataError,
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
                connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
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
            rows = [self._count(statement, [{}]) for statement in ask.ALL]
        return _amount(rows)

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
        checkpoints, writes, blobs = ask.COUNT if is_dry else ask.DELETE
        freed = self._ask(ask.FREED, values)
        gone = [self._count(checkpoints, [values]), self._count(writes, [values])]
        unneeded = self._find_unneeded(values, freed)
        if not is_dry:
            self.connection.execute(ask.CUT_PARENTS, values)
        return _amount([*gone, self._count(blobs, unneeded)])

    def _find_unneeded(self, values: _Values, freed: Iterable[tuple[Any, ...]]) -> list[_Values]:
        """Versions of channels that these checkpoints refer to, and no other one does."""
        needed = set(self._ask(ask.NEEDED, values))
        found: dict[str, list[str]] = {}
        for channel, version in freed:
            if (channel, version) not in needed:
                found.setdefault(channel, []).append(version)
        return [values | {"channel": name, "versions": many} for name, many in found.items()]

    def _count(self, statement: LiteralString, many: Iterable[_Values]) -> tuple[int, int]:
        """How many rows, and how many bytes."""
        told = [row for values in many for row in self._ask(statement, values)]
        return sum(row[0] for row in told), sum(row[1] for row in told)

    def _is(self, statement: LiteralString, values: _Values) -> bool:
        return bool(self._ask(statement, values)[0][0])

    def _ask(self, statement: LiteralString, values: _Values) -> list[tuple[Any, ...]]:
        return self.connection.execute(statement, values).fetchall()


def _amount(rows: Sequence[tuple[int, int]]) -> Amount:
    """Of checkpoints, writes and blobs, in this order."""
    checkpoints, writes, blobs = (count for count, _ in rows)
    return Amount(checkpoints, writes, blobs, sum(size for _, size in rows))


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
