"""Archiving: what is old and covered goes into files, and then out of the database."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import (
    DamagedArchive,
    InputError,
    MemstillError,
    OwnerBusy,
    VersionConflict,
)
from pipelines.flows.positions import read_owner, spell_owner
from pipelines.outcome import Done, Outcome, Snoozed
from pipelines.ports import ArchivedKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from config.retention import ArchivePolicy
    from pipelines.flows.snapshots import SnapshotEvents
    from pipelines.model import Owner
    from pipelines.ports import (
        ArchivedFile,
        ArchiveFiles,
        Clock,
        OldRows,
        Portion,
        ReturningEvents,
    )

log = structlog.get_logger(__name__)

DAMAGED = "users_with_damaged_files"
BUSY = "the user is being worked on; try again in a moment"
_KINDS = tuple(ArchivedKind)


@dataclass(frozen=True, slots=True)
class ArchiveOld:
    """Moves old rows into the archive, a portion of one user after another.

    The file is written and read back before the transaction that deletes its rows is over. Whoever
    is stopped between has the rows in both places, and the next run deletes them. The file is not
    taken back: another run, which found the rows in it, may have deleted them by now. Only what was
    erased meanwhile is taken out of it.
    """

    files: ArchiveFiles
    rows: Mapping[ArchivedKind, OldRows]
    clock: Clock
    policy: ArchivePolicy

    def run(self, position: str | None = None) -> Outcome:
        """Move what is old of all tenants, in bounded turns.

        Users with a damaged file keep their rows; they are counted, and the others go on.

        Args:
            position: Where the turn before ended.
        """
        started, counts = self.clock.now(), Counter[str]()
        kind, after = _read_position(position)
        while True:
            before = started - self._ages[kind]
            found, after = self.rows[kind].find_owners(after, before, self.policy.users)
            for owner in found:
                self._move_all(kind, owner, before, counts)
            if after is None:
                following = _KINDS.index(kind) + 1
                if following == len(_KINDS):
                    break
                kind = _KINDS[following]
            if self.clock.now() - started >= self.policy.turn:
                return Snoozed(timedelta(), "more users", _some(counts), _spell(kind, after))
        return Done(_some(counts))

    @property
    def _ages(self) -> Mapping[ArchivedKind, timedelta]:
        return {
            ArchivedKind.EVENTS: self.policy.events,
            ArchivedKind.SESSIONS: self.policy.sessions,
        }

    def _move_all(
        self, kind: ArchivedKind, owner: Owner, before: datetime, counts: Counter[str]
    ) -> None:
        found = self.policy.batch
        try:
            while found == self.policy.batch:
                found = self._move(kind, owner, before)
                counts[kind.value] += found
        except DamagedArchive as error:
            counts[DAMAGED] += 1
            log.warning("archive_damaged", error=str(error))

    def _move(self, kind: ArchivedKind, owner: Owner, before: datetime) -> int:
        now, rows = self.clock.now(), self.rows[kind]
        written: list[tuple[Portion, ArchivedFile | None]] = []

        def write(portion: Portion) -> None:
            written.append((portion, None))
            written[-1] = portion, self.files.write(portion, now)

        try:
            return rows.move(owner, before, self.policy.batch, write, now)
        except MemstillError:
            # Who was cut off may have stood still for long before writing.
            for portion, file in written:
                self._take_out_erased(portion, file)
            raise

    def _take_out_erased(self, portion: Portion, file: ArchivedFile | None) -> None:
        for part in self.rows[portion.kind].find_erased(portion):
            if part.session_id is not None:
                self.files.remove_session(portion.owner, part.session_id, part.memory_ids)
            elif file is not None:
                self.files.delete(file)


@dataclass(frozen=True, slots=True)
class RestoreArchived:
    """Puts a user's archived events back, to be looked at; what is known does not change."""

    files: ArchiveFiles
    events: ReturningEvents
    snapshots: SnapshotEvents

    def run(self, owner: Owner) -> int:
        """Put back what is not there; gives how many events.

        Raises:
            OwnerBusy: The user is being worked on, or erased.
        """
        found = self.files.list_files(owner)
        files = [file for file in found if file.kind is ArchivedKind.EVENTS]
        if not files:
            return 0
        # What comes back lies before it, and is told by nothing twice.
        if not self.snapshots.take(owner, self.snapshots.snapshots.find_settled()):
            raise OwnerBusy(BUSY)
        try:
            restored = sum(self.events.put_back(owner, self.files.read(file)) for file in files)
        except VersionConflict as error:
            raise OwnerBusy(BUSY) from error
        log.info("events_restored", events=restored)
        return restored


def _some(counts: Mapping[str, int]) -> dict[str, int]:
    return {name: count for name, count in counts.items() if count}


def _spell(kind: ArchivedKind, after: Owner | None) -> str:
    return f"{kind}:{'' if after is None else spell_owner(after)}"


def _read_position(position: str | None) -> tuple[ArchivedKind, Owner | None]:
    if position is None:
        return _KINDS[0], None
    name, _, owner = position.partition(":")
    if name not in _KINDS:
        raise InputError("position", "is none of this job; run it from the beginning")
    return ArchivedKind(name), read_owner(owner or None)
