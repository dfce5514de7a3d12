"""Summing up event logs: what a user's events tell is kept, so that later ones go on from there."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from pipelines.flows.positions import read_owner, spell_owner
from pipelines.outcome import Done, Outcome, Snoozed

if TYPE_CHECKING:
    from config.retention import ArchivePolicy
    from pipelines.model import Owner
    from pipelines.ports import Clock, EventLog, LogSnapshots

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class SnapshotEvents:
    """Takes a snapshot of each user with so many events that are in none.

    Whoever is leased, erased or replaced by a generation meanwhile is left to the next run.
    """

    events: EventLog
    snapshots: LogSnapshots
    clock: Clock
    policy: ArchivePolicy

    def run(self, position: str | None = None) -> Outcome:
        """Take them of all tenants, in bounded turns.

        Args:
            position: Where the turn before ended.
        """
        started, after, taken = self.clock.now(), read_owner(position), 0
        settled = self.snapshots.find_settled()
        while True:
            found, after = self.snapshots.find_long(
                after, settled, self.policy.snapshot_each, self.policy.users
            )
            taken += sum(self.take(owner, settled) for owner in found)
            if after is None:
                break
            if self.clock.now() - started >= self.policy.turn:
                counts = {"snapshots": taken}
                return Snoozed(timedelta(), "more users", counts, spell_owner(after))
        if taken:
            log.info("event_snapshots_taken", users=taken)
        return Done({"snapshots": taken} if taken else {})

    def take(self, owner: Owner, settled: int) -> bool:
        """Take one of a user; False if they were being worked on."""
        fence = self.snapshots.read_fence(owner)
        if fence is None:
            return False
        summary = self.events.sum_up(owner, settled)
        return self.snapshots.keep(owner, summary, fence, self.clock.now())
