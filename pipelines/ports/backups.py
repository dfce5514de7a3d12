"""Backups: one moment of the whole truth in a file, and the file in a database again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from pipelines.ports.erasures import Erasure


@dataclass(frozen=True, slots=True)
class TableContent:
    """What a table holds, to be compared with what another one holds.

    Attributes:
        digest: The sum of the SHA-256 of its rows, in hex: the same in whatever order they come.
    """

    rows: int
    digest: str


@dataclass(frozen=True, slots=True)
class Moment:
    """The database at one moment.

    Attributes:
        revision: Of the schema.
        namespace: The schema, in PostgreSQL's sense, that the tables are in.
        server: PostgreSQL's major version.
        dumped_by: The major version of the program that dumps it; an older one cannot read that.
    """

    taken_at: datetime
    revision: str
    namespace: str
    server: int
    dumped_by: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup says of itself.

    Attributes:
        memstill: The version that wrote it.
        sha256: Of the dump in it, in hex.
        unread: Entries of the intake Stream that were pushed before the backup began and are not
            in it; None where nobody could tell.
    """

    moment: Moment
    memstill: str
    sha256: str
    tables: Mapping[str, TableContent]
    unread: int | None

    @property
    def rows(self) -> int:
        """Of all tables together."""
        return sum(table.rows for table in self.tables.values())


class Snapshot(Protocol):
    """The database at one moment, as long as it is open; whoever writes is not held up."""

    @property
    def moment(self) -> Moment:
        """Which one."""
        ...

    def dump(self) -> AbstractContextManager[IO[bytes]]:
        """All tables. It is whole only if the block ends without an error."""
        ...

    def read_tables(self) -> dict[str, TableContent]:
        """What the dump has to hold, read on another road than the dump."""
        ...


class SnapshotSource(Protocol):
    """The database that is backed up."""

    def open(self) -> AbstractContextManager[Snapshot]:
        """One moment of it.

        Raises:
            ConfigurationError: There is nothing of this memstill in it, or no program to dump it.
        """
        ...


class Dump(Protocol):
    """The tables in a file that was read and found whole."""

    @property
    def manifest(self) -> Manifest:
        """What the file says of itself."""
        ...

    def open(self) -> AbstractContextManager[IO[bytes]]:
        """What ``Snapshot.dump`` gave, from its beginning."""
        ...


class Draft(Protocol):
    """A backup that is being written under another name."""

    def keep(self, dump: IO[bytes]) -> str:
        """Write the dump; gives its SHA-256 in hex."""
        ...

    def finish(self, manifest: Manifest) -> Dump:
        """Write what it says of itself, and read all of it again from the disk.

        Raises:
            InputError: It is not what was written.
        """
        ...


class BackupFiles(Protocol):
    """Backups as files that nobody but their owner may read."""

    def draft(self, path: Path, *, replaces: bool) -> AbstractContextManager[Draft]:
        """Write one. It has its name once the block has ended without an error.

        Raises:
            InputError: There is a file of that name, or none can be written there.
        """
        ...

    def read(self, path: Path) -> Dump:
        """Check a file from beginning to end.

        Raises:
            InputError: It is no backup, is cut off or damaged, or of a newer version.
        """
        ...


class DumpReader(Protocol):
    """Reads what is in a dump."""

    def read_tables(self, dump: Dump) -> dict[str, TableContent]:
        """What it holds of each table, row by row.

        Raises:
            InputError: It cannot be read to its end.
        """
        ...


class RestoreTarget(Protocol):
    """The database that a backup is put into."""

    def load(self, dump: Dump) -> None:
        """Put the tables in, and compare them with the manifest, in one transaction.

        Until ``release`` no worker starts on them.

        Raises:
            InputError: The backup is of a schema that this memstill does not know, or what was
                loaded is not what its manifest says; nothing was changed.
            ConfigurationError: The database is not empty, is in use, or lets nobody create what
                is needed; nothing was changed.
        """
        ...

    def migrate(self) -> None:
        """Bring it to the newest schema."""
        ...

    def erase_again(self, journal: Sequence[Erasure]) -> int:
        """Erase whom it brought back, by erasures that it does not know; repeating is harmless.

        The erasures come back as they were, the proof included. What is there of their subjects
        is erased under erasures of their own, which the workers bring to their proof.

        Returns:
            How many subjects were there again.
        """
        ...

    def release(self, now: datetime) -> None:
        """Let workers begin: all that was under way is due, and whoever held it is refused.

        The index is compared with the rows as soon as a worker runs.
        """
        ...


class IntakeBacklog(Protocol):
    """The intake Stream, as far as a backup waits for it."""

    def mark(self) -> datetime:
        """The time of the last entry that was ever appended, by the Stream's own clock."""
        ...

    def has_until(self, until: datetime) -> bool:
        """Whether anything is there that was pushed until then."""
        ...

    def length(self) -> int:
        """How many entries are there."""
        ...
