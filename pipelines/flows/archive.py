"""Archiving: what is old and covered goes into files, and then out of the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import InputError, OwnerBusy, VersionConflict
from pipelines.flows.positions import read_owner, spell_owner
from pipelines.outcome import Done, Outcome, Snoozed
from pipelines.ports import ArchivedKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from config.retention import ArchivePolicy
    from pipelines.flows.snapshots import SnapshotEvents
    from pipelines.model import Owner
    from pipelines.ports import ArchiveFiles, Clock, OldRows, Portion, ReturningEvents

log = structlog.get_logger(__name__)

BUSY = "the user is being worked on; try again in a moment"
_KINDS = tuple(ArchivedKind)


@dataclass(frozen=True, slots=True)
class ArchiveOld:
    """Moves old rows into the archive, a portion of one user after another.

    The file is written and read back first. Whoever is stopped between that and the deletion has
    the rows in both places, and the next run deletes them.
    """

    files: ArchiveFiles
    rows: Mapping[ArchivedKind, OldRows]
    clock: Clock
    policy: ArchivePolicy

    def run(self, position: str | None = None) -> Outcome:
        """Move what is old of all tenants, in bounded turns.

        Args:
            position: Where the turn before ended.
        """
        started, counts = self.clock.now(), dict.fromkeys(map(str, _KINDS), 0)
        kind, after = _read_position(position)
        while True:
            before = started - self._ages[kind]
            found, after = self.rows[kind].find_owners(after, before, self.policy.users)
            counts[kind] += sum(self._move_all(kind, owner, before) for owner in found)
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

    def _move_all(self, kind: ArchivedKind, owner: Owner, before: datetime) -> int:
        total = 0
        while True:
            portion = self.rows[kind].read(owner, before, self.policy.batch)
            if not portion.lines or not self._move(portion):
                break
            total += len(portion.lines)
            if len(portion.lines) < self.policy.batch:
                break
        if total:
            log.info("rows_archived", kind=kind.value, rows=total)
        return total

    def _move(self, portion: Portion) -> bool:
        file = self.files.write(portion, self.clock.now())
        if self.rows[portion.kind].remove(portion, self.clock.now()):
            return True
        # Whoever does the same at this moment may have moved them, and rest on this file. So only
        # what was erased meanwhile is taken out.
        for part in self.rows[portion.kind].find_erased(portion):
            if part.session_id is not None:
                self.files.remove_session(portion.owner, part.session_id, part.memory_ids)
            elif file is not None:
                self.files.delete(file)
        return False


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
