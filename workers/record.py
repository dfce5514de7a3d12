"""What was logged of memories, and what of it goes to the archive, composed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.adapters.archive_files import ArchivedFiles
from pipelines.adapters.postgres.event_log import PostgresEventLog
from pipelines.adapters.postgres.log_snapshots import PostgresLogSnapshots
from pipelines.adapters.postgres.old_events import PostgresOldEvents
from pipelines.adapters.postgres.old_sessions import PostgresOldSessions
from pipelines.errors import InputError
from pipelines.flows.archive import ArchiveOld, RestoreArchived
from pipelines.flows.event_log import CheckEvents, RewriteMemories
from pipelines.flows.snapshots import SnapshotEvents
from pipelines.ports import ArchivedKind
from workers.archives import open_archive

if TYPE_CHECKING:
    from pipelines.ports import ArchiveFiles, Embedder, MemoryStore, OldRows, Waker
    from workers.ground import Ground

NO_ARCHIVE = "is not set up: MEMSTILL_ARCHIVE_URL names where it is"


@dataclass(frozen=True, slots=True)
class Archiving:
    """What moves rows into the archive, and back."""

    files: ArchiveFiles
    move: ArchiveOld
    restore: RestoreArchived


@dataclass(frozen=True, slots=True)
class Record:
    """The event log, and what is made of it.

    Attributes:
        archiving: None where there is no archive: then nothing leaves the log.
    """

    check: CheckEvents
    rewrite: RewriteMemories
    snapshots: SnapshotEvents
    archiving: Archiving | None

    @property
    def files(self) -> ArchiveFiles | None:
        """The archive's files; None where there is none."""
        return None if self.archiving is None else self.archiving.files

    def need_archive(self) -> Archiving:
        """What works on the archive.

        Raises:
            InputError: There is none.
        """
        if self.archiving is None:
            raise InputError("archive", NO_ARCHIVE)
        return self.archiving


def make_record(ground: Ground, store: MemoryStore, embedder: Embedder, waker: Waker) -> Record:
    """All of it."""
    database, clock, policies = ground.database, ground.clock, ground.policies
    events = PostgresEventLog(database)
    snapshots = SnapshotEvents(events, PostgresLogSnapshots(database), clock, policies.archive)
    return Record(
        check=CheckEvents(events),
        rewrite=RewriteMemories(events, store, embedder, waker, clock, policies),
        snapshots=snapshots,
        archiving=_make_archiving(ground, snapshots),
    )


def _make_archiving(ground: Ground, snapshots: SnapshotEvents) -> Archiving | None:
    url, database, policy = ground.settings.archive_url, ground.database, ground.policies.archive
    if url is None:
        return None
    files = ArchivedFiles(open_archive(url))
    events = PostgresOldEvents(database, policy.least_events)
    sessions = PostgresOldSessions(database, policy.least_sessions)
    rows: dict[ArchivedKind, OldRows] = {
        ArchivedKind.EVENTS: events,
        ArchivedKind.SESSIONS: sessions,
    }
    return Archiving(
        files=files,
        move=ArchiveOld(files, rows, ground.clock, policy),
        restore=RestoreArchived(files, events, snapshots),
    )
