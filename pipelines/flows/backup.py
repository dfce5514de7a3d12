"""Backing up while all goes on, and restoring into a database that is empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import InputError, QueueUnavailable
from pipelines.ports import Manifest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta
    from pathlib import Path

    from pipelines.ports import (
        BackupFiles,
        Clock,
        DumpReader,
        Erasure,
        IntakeBacklog,
        RestoreTarget,
        SnapshotSource,
    )

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class BackUp:
    """Writes backups.

    Attributes:
        stream: None where there is no Redis to ask.
        patience: So long it is waited for what was pushed before, to be taken in.
        memstill: The version of this memstill.
    """

    source: SnapshotSource
    files: BackupFiles
    reader: DumpReader
    stream: IntakeBacklog | None
    clock: Clock
    sleep: Callable[[float], object]
    patience: timedelta
    memstill: str

    def run(self, path: Path, *, replaces: bool) -> Manifest:
        """Write one, and read it again row by row before it gets its name.

        What had been pushed on the Stream when this was called is in it, or counted in its
        manifest.

        Raises:
            InputError: There is a file of that name, it cannot be written, or what was written
                is not what is in the database.
            ConfigurationError: There is nothing to back up, or nothing to do it with.
        """
        with self.files.draft(path, replaces=replaces) as draft:
            unread = self._wait_for_stream()
            with self.source.open() as snapshot:
                with snapshot.dump() as dump:
                    digest = draft.keep(dump)
                tables = snapshot.read_tables()
                manifest = Manifest(snapshot.moment, self.memstill, digest, tables, unread)
            written = draft.finish(manifest)
            if self.reader.read_tables(written) != tables:
                raise InputError("backup", "what was written is not what is in the database")
        log.info("backup_written", rows=manifest.rows, revision=manifest.moment.revision)
        return manifest

    def _wait_for_stream(self) -> int | None:
        """How much of what was pushed before is still on the Stream when patience ends."""
        if self.stream is None:
            return None
        try:
            mark = self.stream.mark()
            deadline = self.clock.now() + self.patience
            while self.stream.has_until(mark):
                if self.clock.now() >= deadline:
                    return self.stream.length()
                self.sleep(POLL_SECONDS)
        except QueueUnavailable:
            return None
        return 0


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restore did.

    Attributes:
        erased: Subjects that the backup brought back and that were erased again.
    """

    manifest: Manifest
    erased: int


@dataclass(frozen=True, slots=True)
class BringBack:
    """Restores backups."""

    files: BackupFiles
    target: RestoreTarget
    clock: Clock

    def run(self, path: Path, journal: Sequence[Erasure]) -> Restored:
        """Put a backup into the database; workers may start when this returns.

        Interrupted, it can be repeated from the beginning.

        Args:
            path: Of the backup.
            journal: Erasures since it was taken; those from before do nothing.

        Raises:
            InputError: The file is no whole backup, or too new; nothing was changed.
            ConfigurationError: The database is not empty, or in use; nothing was changed.
        """
        dump = self.files.read(path)
        self.target.load(dump)
        self.target.migrate()
        erased = self.target.erase_again(journal)
        self.target.release(self.clock.now())
        log.info("backup_restored", rows=dump.manifest.rows, erased_again=erased)
        return Restored(dump.manifest, erased)
