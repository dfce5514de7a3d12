"""pg_dump and pg_restore: which of them are here, and what they write."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from pipelines.adapters.postgres.contents import tally_script
from pipelines.adapters.postgres.sessions import open_address
from pipelines.errors import ConfigurationError, InputError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipelines.ports import Dump, TableContent

_PIECE = 1 << 20
_DUMP = (
    "--format=custom",
    "--strict-names",
    "--no-owner",
    # Privileges may name roles that another server has not; ours are granted anew.
    "--no-privileges",
    "--no-comments",
    "--no-security-labels",
    "--no-tablespaces",
    "--no-password",
    "--encoding=UTF8",
    "--lock-wait-timeout=20000",
)
_RESTORE = ("--no-owner", "--no-privileges", "--no-tablespaces", "--file=-")


@dataclass(frozen=True, slots=True)
class Tool:
    """A program of PostgreSQL, with its major version."""

    path: Path
    major: int


@dataclass(frozen=True, slots=True)
class Source:
    """What is dumped.

    Attributes:
        url: Of the database, with the password.
        snapshot: As it was exported; its transaction stays open meanwhile.
    """

    url: str
    snapshot: str
    namespace: str
    tables: Sequence[str]


class DumpTools:
    """Finds and runs them.

    Args:
        folders: Looked in first, before the PATH.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)

    def find(self, name: str, at_least: int) -> Tool:
        """The first that is new enough.

        Raises:
            ConfigurationError: There is none; the message says what to install.
        """
        seen = [tool for path in self._paths(name) if (tool := _ask_version(path))]
        for tool in seen:
            if tool.major >= at_least:
                return tool
        have = ", ".join(str(tool.major) for tool in seen)
        raise ConfigurationError(
            f"{name} of PostgreSQL {at_least} or newer is needed, and there is "
            f"{f'only that of {have}' if have else 'none'} here: install the client programs of "
            f"PostgreSQL {at_least} (postgresql-client-{at_least}) and put them on the PATH"
        )

    @contextmanager
    def dump(self, source: Source, tool: Tool) -> Iterator[IO[bytes]]:
        """What pg_dump writes.

        Raises:
            StoreUnavailable: It did not come to its end; what was read is worth nothing.
        """
        address, secrets = open_address(source.url)
        tables = [f'--table="{source.namespace}"."{name}"' for name in source.tables]
        words = [*_DUMP, f"--snapshot={source.snapshot}", *tables, f"--dbname={address}"]
        with _running(tool.path, words, secrets, None) as (process, said):
            yield _output_of(process)
            if process.wait() != 0:
                raise StoreUnavailable(f"pg_dump could not dump the database: {_first(said)}")

    @contextmanager
    def script(self, dump: Dump, section: str) -> Iterator[Iterator[bytes]]:
        """The lines of the SQL that a section of a dump is.

        Raises:
            InputError: pg_restore could not read it to its end.
        """
        tool = self.find("pg_restore", dump.manifest.moment.dumped_by)
        words = [*_RESTORE, f"--section={section}"]
        with (
            dump.open() as source,
            _running(tool.path, words, {}, source) as (process, said),
        ):
            yield iter(_output_of(process))
            if process.wait() != 0:
                raise InputError("dump", f"cannot be read by pg_restore: {_first(said)}")

    def read_tables(self, dump: Dump) -> dict[str, TableContent]:
        """What a dump holds, row by row."""
        with self.script(dump, "data") as lines:
            return tally_script(lines)

    def _paths(self, name: str) -> Iterator[Path]:
        for folder in self._folders:
            if (folder / name).exists():
                yield folder / name
        on_path = shutil.which(name)
        if on_path is not None:
            yield Path(on_path)


def _ask_version(path: Path) -> Tool | None:
    answer = subprocess.run(  # noqa: S603 - a program that was looked for by name
        [path, "--version"], capture_output=True, check=False, text=True
    )
    found = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return None if found is None else Tool(path, int(found[1]))


@contextmanager
def _running(
    program: Path, words: Sequence[str], secrets: dict[str, str], source: IO[bytes] | None
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes]]]:
    """The program, and the file with what it complains of; it is ended with the block."""
    env = {**os.environ, "PGTZ": "UTC", "LC_ALL": "C", **secrets}
    with ExitStack() as undo:
        said = undo.enter_context(tempfile.TemporaryFile())
        process = subprocess.Popen(  # noqa: S603 - a program that was looked for by name
            [program, *words],
            stdin=subprocess.DEVNULL if source is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            env=env,
        )
        undo.callback(_end, process)
        if source is not None:
            feeder = threading.Thread(target=_feed, args=(process, source), daemon=True)
            feeder.start()
            undo.callback(feeder.join)
            undo.callback(process.kill)
        yield process, said


def _feed(process: subprocess.Popen[bytes], source: IO[bytes]) -> None:
    # It stops reading where its section ends.
    with suppress(BrokenPipeError):
        if process.stdin is not None:
            with process.stdin as sink:
                shutil.copyfileobj(source, sink, _PIECE)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    _output_of(process).close()
    process.wait()


def _output_of(process: subprocess.Popen[bytes]) -> IO[bytes]:
    if process.stdout is None:
        raise AssertionError
    return process.stdout


def _first(said: IO[bytes]) -> str:
    """The first line of its complaint: further ones may quote rows."""
    said.seek(0)
    return said.readline().decode(errors="replace").strip() or "it did not say why"
