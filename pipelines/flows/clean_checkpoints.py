"""Cleaning up checkpoints: what a thread needs to go on is never touched.

Of each thread the newest ones stay. The oldest of these becomes a full snapshot before what it
rested on goes, both in one transaction, so that a save or a load finds the one or the other.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import NewerFormat
from pipelines.outcome import Done, Outcome, Skipped, Snoozed
from pipelines.stages.checkpoints.chain import rebuild
from pipelines.stages.checkpoints.retention import select_kept

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from config.checkpoints import CheckpointPolicy
    from pipelines.ports import CheckpointStore, Clock
    from pipelines.stages.checkpoints.chain import Thread

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was removed, or would be.

    Attributes:
        stored: Bytes that it took.
        left: Threads that were left as they are, in whole or in part: what is to be kept rests on
            what is damaged or of a newer release, or somebody saved meanwhile.
        is_complete: Nothing is left for another turn.
    """

    threads: int = 0
    checkpoints: int = 0
    stored: int = 0
    left: int = 0
    is_complete: bool = True


@dataclass(frozen=True, slots=True)
class CleanCheckpoints:
    """Removes what retention says has had its time; any number of them may run at once."""

    store: CheckpointStore
    clock: Clock
    policy: CheckpointPolicy

    def run(self) -> Outcome:
        """Clean up for one turn."""
        done = self.clean()
        counts = {"threads": done.threads, "checkpoints": done.checkpoints, "bytes": done.stored}
        if not done.checkpoints:
            return Skipped("no checkpoint has had its time")
        return Done(counts) if done.is_complete else Snoozed(timedelta(), "more threads", counts)

    def clean(self, turn: timedelta | None = None, *, dry_run: bool = False) -> Cleaned:
        """Clean up for one turn, or count what would be removed.

        Args:
            turn: Its length, where somebody waits for it.
            dry_run: Remove nothing.

        Raises:
            StoreUnavailable: What was removed until then is, and nothing is half done.
        """
        until = self.clock.now() + (self.policy.turn if turn is None else turn)
        counts = Counter[str]()
        is_complete = True
        for thread in self._surplus_threads():
            if self.clock.now() >= until:
                is_complete = False
                break
            counts += self._count(thread) if dry_run else self._clean(thread)
        if counts["checkpoints"] and not dry_run:
            log.info("checkpoints_cleaned", **counts)
        return Cleaned(
            counts["threads"],
            counts["checkpoints"],
            counts["stored"],
            counts["left"],
            is_complete=is_complete,
        )

    def _surplus_threads(self) -> Iterator[Thread]:
        after: Thread | None = None
        while True:
            cutoff = self._cutoff()
            found = self.store.find_surplus(after, self.policy.keep, cutoff, self.policy.batch)
            yield from found
            if len(found) < self.policy.batch:
                return
            after = found[-1]

    def _cutoff(self) -> datetime:
        return self.clock.now() - self.policy.retention

    def _count(self, thread: Thread) -> Counter[str]:
        surplus = self.store.count_surplus(thread, self._find_end(thread))
        return Counter(threads=surplus.rows > 0, checkpoints=surplus.rows, stored=surplus.stored)

    def _clean(self, thread: Thread) -> Counter[str]:
        """Remove a thread's surplus, so many rows at a time."""
        end = self._find_end(thread)
        before = left = self.store.count_surplus(thread, end)
        while left.rows and self._trim(thread, min(end, left.first + self.policy.batch)):
            left = self.store.count_surplus(thread, end)
        removed = before.rows - left.rows
        return Counter(
            threads=removed > 0,
            checkpoints=removed,
            stored=before.stored - left.stored,
            left=left.rows > 0,
        )

    def _find_end(self, thread: Thread) -> int:
        """The sequence of the oldest that is kept; behind the newest where none is."""
        newest = self.store.list_newest(thread, self.policy.keep)
        if not newest:
            return 0
        kept = select_kept(newest, self.clock.now(), self.policy)
        return kept[-1].sequence if kept else newest[0].sequence + 1

    def _trim(self, thread: Thread, below: int) -> int:
        try:
            chain = self.store.load_before(thread, below + 1)
        except NewerFormat:
            # A newer release cleans it up.
            return 0
        if not chain or chain[-1].checkpoint.sequence != below:
            # The thread as a whole.
            return self.store.trim(thread, below, None)
        if not chain[-1].checkpoint.is_delta:
            return self.store.trim(thread, below, None)
        state = rebuild(chain)
        if state is not None:
            return self.store.trim(thread, below, state)
        log.error("checkpoint_damaged", checkpoint=str(chain[-1].checkpoint.id))
        return self.store.trim(thread, chain[0].checkpoint.sequence, None)
