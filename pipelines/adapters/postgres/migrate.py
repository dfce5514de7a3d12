"""Bring a database to this release's schema while workers go on using it.

Whoever alters a table waits until everyone who uses it has finished, and whoever comes next waits
behind him. So each wait for a lock is short; what was not had in that time is given up, and tried
again a moment later, when those who waited behind have passed.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, StatementError
from tenacity import (
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_fixed,
    wait_random,
    wait_random_exponential,
)

from pipelines.adapters.postgres.database import APPLICATION, Database, translate
from pipelines.adapters.postgres.revision import PATIENCE_MS
from pipelines.adapters.postgres.schema import (
    FOLDER,
    compare_schema,
    note_contract,
    read_mark,
)
from pipelines.errors import ConfigurationError, MemstillError, StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from alembic.script import Script
    from sqlalchemy import Connection
    from tenacity import RetryCallState

# Any fixed number: whoever migrates this database takes the same lock.
LOCK = 7_262_645_455
_LOOK_SECONDS = 0.2

_TABLE = re.compile(
    r"\b(?:TABLE|ON|INTO|UPDATE|FROM)\s+(?:ONLY\s+|IF\s+(?:NOT\s+)?EXISTS\s+)*\"?(\w+)\"?",
    re.IGNORECASE,
)
_HOLDERS = text(
    "SELECT a.pid, a.application_name, extract(epoch FROM now() - a.xact_start)::int AS seconds"
    " FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)"
    " WHERE l.granted AND l.relation = to_regclass(quote_ident(:name))"
    " AND a.pid <> pg_backend_pid() ORDER BY a.xact_start LIMIT 3"
)
_OLDER = text(
    "SELECT DISTINCT application_name FROM pg_stat_activity WHERE datname = current_database()"
    " AND pid <> pg_backend_pid() AND split_part(application_name, '/', 1) = :name"
    " AND split_part(application_name, '/', 2) < :revision ORDER BY 1"
)


@dataclass(frozen=True, slots=True)
class Waits:
    """How long locks are waited for.

    Attributes:
        lock: At most so long do workers wait behind a revision that waits for a table.
        patience: How long a revision is tried, and the lock of another migration waited for.
    """

    lock: timedelta = timedelta(seconds=1)
    patience: timedelta = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Migration:
    """What was done.

    Attributes:
        applied: Revisions, in order.
        waiting: Those that contract, and were not asked for.
    """

    applied: tuple[str, ...]
    waiting: tuple[str, ...]


def migrate(
    url: str,
    *,
    contracts: bool = False,
    waits: Waits | None = None,
    more: Path | None = None,
    note: Callable[[str], object] = lambda _: None,
) -> Migration:
    """Run every revision that the database does not have yet, each in a transaction of its own.

    Args:
        url: Of the database.
        contracts: Those that contract, too: no worker of an older release runs any more.
        waits: How long locks are waited for.
        more: A folder with further revisions.
        note: Is told what happens.

    Raises:
        StoreUnavailable: The server does not answer, or a table stayed locked; what was applied
            before stays, and the next run goes on from there.
        StoreRefused: A revision failed, and left nothing behind.
        ConfigurationError: A newer release took out of the database what this one uses, or an
            older one is connected that needs what would be taken away.
    """
    database = Database(url, pool_size=1)
    folders = [FOLDER / "versions", *([more] if more else [])]
    scripts = ScriptDirectory(str(FOLDER), version_locations=list(map(str, folders)))
    try:
        with _connect(database) as connection:
            runner = _Runner(connection, scripts, waits or Waits(), note)
            with runner.alone():
                return runner.run(contracts=contracts)
    finally:
        database.close()


@contextmanager
def _connect(database: Database) -> Iterator[Connection]:
    """One connection that is in no transaction; errors are translated."""
    try:
        with database.engine.connect() as connection:
            # A revision may take long once it has what it waits for.
            connection.execute(text("SET statement_timeout = 0"))
            connection.commit()
            yield connection
    except StatementError as error:
        raise translate(error) from None


class _Runner:
    """Applies revisions over one connection."""

    def __init__(
        self,
        connection: Connection,
        scripts: ScriptDirectory,
        waits: Waits,
        note: Callable[[str], object],
    ) -> None:
        self._connection = connection
        self._scripts = scripts
        self._waits = waits
        self._note = note

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody else migrate meanwhile."""
        # Asked for again and again: who waits inside a statement holds up building an index.
        retrying = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, _Busy)),
            stop=stop_after_delay(self._waits.patience),
            wait=wait_fixed(_LOOK_SECONDS) + wait_random(0, _LOOK_SECONDS),
            before_sleep=self._note_first("another migration is running: waiting for its end"),
            reraise=True,
        )
        retrying(self._lock)
        try:
            yield
        finally:
            self._connection.rollback()
            self._connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": LOCK})
            self._connection.commit()

    def run(self, *, contracts: bool) -> Migration:
        """Apply what is missing, in order."""
        applied, waiting = [], []
        for script in self._find_missing():
            if is_contract(script) and not contracts:
                waiting.append(script.revision)
                continue
            if is_contract(script):
                self._check_alone(script)
            self._apply_patiently(script)
            applied.append(script.revision)
            self._note(f"{script.revision}: {script.doc}")
        return Migration(tuple(applied), tuple(waiting))

    def _check_alone(self, script: Script) -> None:
        """Refuse while a release is connected that does not know the revision."""
        values = {"name": APPLICATION, "revision": script.revision}
        older = self._connection.scalars(_OLDER, values).all()
        self._connection.commit()
        if older:
            raise ConfigurationError(
                f"{script.revision} takes away what older releases use, and {', '.join(older)} "
                "(the newest revision that it knows) is connected: end those processes first"
            )

    def _lock(self) -> None:
        statement = text("SELECT pg_try_advisory_lock(:key)")
        is_locked = self._connection.scalar(statement, {"key": LOCK})
        self._connection.commit()
        if not is_locked:
            raise _Busy(
                "another migration of this database is running, for "
                f"{_spelled(self._waits.patience)} now: look after it, then try again"
            )

    def _find_missing(self) -> list[Script]:
        context = MigrationContext.configure(self._connection)
        heads = context.get_current_heads()
        self._connection.commit()
        every = sorted(self._scripts.walk_revisions(), key=lambda script: script.revision)
        if not {script.revision for script in every}.issuperset(heads):
            # A newer release has migrated it: all that this one adds is there.
            compare_schema(set(heads), read_mark(self._connection))
            self._connection.commit()
            return []
        done = {script.revision for script in self._scripts.iterate_revisions(heads, "base")}
        return [script for script in every if script.revision not in done]

    def _apply_patiently(self, script: Script) -> None:
        retrying = Retrying(
            retry=retry_if_exception(_is_of_locks),
            stop=stop_after_delay(self._waits.patience),
            wait=wait_random_exponential(multiplier=0.2, max=5),
            before_sleep=partial(self._note_locked, script),
            reraise=True,
        )
        try:
            retrying(self._apply, script)
        except DBAPIError as error:
            raise self._explain(script, error) from None

    def _apply(self, script: Script) -> None:
        milliseconds = int(self._waits.lock / timedelta(milliseconds=1))
        patience = int(self._waits.patience / timedelta(milliseconds=1))
        step = MigrationStep.upgrade_from_script(self._scripts.revision_map, script)
        options = {"transaction_per_migration": True, PATIENCE_MS: patience}
        context = MigrationContext.configure(
            self._connection, opts={**options, "fn": lambda _heads, _context: [step]}
        )
        try:
            self._connection.execute(text(f"SET lock_timeout = {milliseconds}"))
            if is_contract(script):
                # Before it is true: from now on no older worker starts.
                note_contract(self._connection, script.revision)
            self._connection.commit()
            with Operations.context(context):
                context.run_migrations()
            self._connection.commit()
        except BaseException:
            self._connection.rollback()
            raise

    def _note_locked(self, script: Script, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        self._note(
            f"{script.revision}: {_locked_table(error)} is locked by others; again in {pause:.1f} s"
        )

    def _note_first(self, said: str) -> Callable[[RetryCallState], None]:
        def note(state: RetryCallState) -> None:
            if state.attempt_number == 1:
                self._note(said)

        return note

    def _explain(self, script: Script, error: DBAPIError) -> MemstillError:
        if not _is_of_locks(error):
            told = translate(error)
            if isinstance(told, StoreUnavailable):
                return told
            return StoreRefused(
                f"revision {script.revision} failed ({type(error.orig).__name__}) and left nothing "
                "behind; those before it stay"
            )
        table = _locked_table(error)
        return StoreUnavailable(
            f"revision {script.revision}: {table} stayed locked for "
            f"{_spelled(self._waits.patience)}{self._tell_holders(table)}; "
            "end those transactions and run `memstill migrate` again, it goes on from here"
        )

    def _tell_holders(self, table: str) -> str:
        holders = self._connection.execute(_HOLDERS, {"name": table}).all()
        self._connection.commit()
        told = [f"process {row.pid} ({row.application_name}, {row.seconds} s)" for row in holders]
        return f", now by {', '.join(told)}" if told else ""


class _Busy(StoreUnavailable):
    """Somebody else migrates."""


def is_contract(script: Script) -> bool:
    """Whether a revision takes something away that older releases use."""
    return getattr(script.module, "kind", "expand") == "contract"


def _is_of_locks(error: BaseException) -> bool:
    cause: Any = getattr(error, "orig", None)
    return isinstance(cause, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected)


def _locked_table(error: BaseException | None) -> str:
    found = _TABLE.search(getattr(error, "statement", None) or "")
    return found.group(1) if found else "a table"


def _spelled(span: timedelta) -> str:
    return f"{span.total_seconds():g} s"
