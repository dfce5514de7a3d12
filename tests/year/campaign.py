"""A year of many users, day by day, and what must be true of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from config.decay import DecayPolicy
from config.schedule import Job
from pipelines.model import MemoryId, Owner
from pipelines.ports import HoldId, LegalHold
from tests.year.life import lives_of
from tests.year.world import TENANT, Size

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.year.household import Day, Plan
    from tests.year.world import World

DAY = timedelta(days=1)
NIGHTLY = (Job.DECAY, Job.PURGE)
WEEKLY = (Job.LEARN_PROCEDURES, Job.SNAPSHOT_EVENTS, Job.ARCHIVE)
POLICY = DecayPolicy()
PINNED_ON = 20
# One user in so many is under a legal hold: nothing of theirs ever goes.
HELD_IN = 50


@dataclass(slots=True)
class Findings:
    """What came of it.

    Attributes:
        problems: What was not as it must be.
        evicted: Memories that were evicted, and how many of those had ever been told.
    """

    sizes: list[Size] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    sessions: int = 0
    recalls: int = 0
    evicted: int = 0
    evicted_after_use: int = 0
    purged: int = 0
    pinned: int = 0
    held: int = 0


@dataclass(slots=True)
class Progress:
    """How far a year has come, and what it remembers by itself.

    Attributes:
        days: So many are over.
        used_at: When each memory was told last.
    """

    days: int = 0
    findings: Findings = field(default_factory=Findings)
    used_at: dict[MemoryId, datetime] = field(default_factory=dict)
    events_seen: int = 0
    pinned: set[MemoryId] = field(default_factory=set)


class Year:
    """Lives through the days, and writes down by itself who used what.

    Args:
        live: Has everybody live a day.
        progress: Where it was interrupted.
        keep: Called after each measurement: from there it could go on.
    """

    def __init__(
        self,
        world: World,
        plan: Plan,
        live: Callable[[int, datetime], Day],
        *,
        note: Callable[[str], None],
        progress: Progress | None = None,
        keep: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        self.world, self.plan, self.live, self.note, self.keep = world, plan, live, note, keep
        self.progress = progress or Progress()
        self.findings = self.progress.findings
        self._held = {life.user_id for life in lives_of(plan)[::HELD_IN]}

    def run(self) -> Findings:
        """All days; the index and the jobs once a day, as if each night."""
        if self.progress.days == 0:
            self._hold()
        for day in range(self.progress.days, self.plan.days):
            self._live(day)
            if (day + 1) % self.plan.nights == 0:
                self._sleep(is_weekend=(day + 1) % (7 * self.plan.nights) == 0)
            self.world.advance(DAY)
            if day == PINNED_ON:
                self._pin()
            self.progress.days = day + 1
            if (day + 1) % self.plan.every == 0:
                self._measure(day + 1)
                self.keep(self.progress)
        self._check_end()
        return self.findings

    # ---- a day --------------------------------------------------------------------------------

    def _live(self, day: int) -> None:
        spent = self.live(day, self.world.clock.now())
        self.progress.used_at.update(spent.told)
        self.findings.sessions += spent.sessions
        self.findings.recalls += spent.recalls
        self.world.project()

    def _sleep(self, *, is_weekend: bool) -> None:
        self.world.run(Job.COUNT_USES)
        for job in NIGHTLY + WEEKLY * is_weekend:
            counts = self.world.run(job)
            if job is Job.PURGE:
                self.findings.purged += counts.get("memories", 0)
        self._check_evictions()
        self.world.project()

    # ---- what must be true --------------------------------------------------------------------

    def _check_evictions(self) -> None:
        """Nothing that was written or used in its last half-life goes; each says why."""
        now = self.world.clock.now()
        rows = self.world.query(
            "SELECT seq, events.memory_id, memories.kind, memories.updated_at, memories.user_id"
            " FROM events JOIN memories ON memories.id = events.memory_id"
            " WHERE name = 'memory_evicted' AND seq > :seen ORDER BY seq",
            seen=self.progress.events_seen,
        )
        for row in rows:
            self.progress.events_seen = row.seq
            self.findings.evicted += 1
            used_at = self.progress.used_at.get(MemoryId(row.memory_id))
            self.findings.evicted_after_use += used_at is not None
            idle = now - max(row.updated_at, used_at or row.updated_at)
            if idle < POLICY.half_lives[row.kind]:
                self._blame(f"{row.memory_id} was evicted after {idle}, as {row.kind}")
            if row.user_id in self._held:
                self._blame(f"{row.memory_id} of a held user was evicted")
        self._check_explained([row.memory_id for row in rows[:3]])

    def _check_explained(self, keys: Sequence[MemoryId]) -> None:
        for key in keys:
            told = self.world.container.history.run(TENANT, key)
            last = told.events[-1]
            why = last.body.get("why", {})
            if last.name != "memory_evicted" or why.get("strength", 1) >= POLICY.threshold:
                self._blame(f"{key} was evicted, and its history does not say why")

    def _check_end(self) -> None:
        kept = {row[0] for row in self.world.query("SELECT id FROM memories WHERE pinned")}
        gone = self.progress.pinned - kept
        evicted = self.world.query(
            "SELECT count(*) FROM memories WHERE pinned AND evicted_at IS NOT NULL"
        )
        self.findings.pinned = len(kept)
        if gone or evicted[0][0]:
            self._blame(f"{len(gone)} pinned memories are gone, {evicted[0][0]} evicted")
        held = self.world.query(
            "SELECT count(*) FILTER (WHERE evicted_at IS NOT NULL), count(*) FROM memories"
            " WHERE user_id = ANY(:held)",
            held=sorted(self._held),
        )
        self.findings.held = held[0][1]
        texts = self.world.query(
            "SELECT count(*) FROM transcripts WHERE user_id = ANY(:held)"
            " AND NOT jsonb_exists(body, 'messages')",
            held=sorted(self._held),
        )
        if held[0][0] or texts[0][0]:
            self._blame(f"held users lost {held[0][0]} memories and {texts[0][0]} texts")

    # ---- what people decide -------------------------------------------------------------------

    def _hold(self) -> None:
        for user_id in sorted(self._held):
            self.world.container.lifecycle.holds.place(
                LegalHold(
                    HoldId(uuid.uuid4()),
                    Owner(TENANT, user_id),
                    "case 7",
                    self.world.clock.now(),
                    "counsel",
                )
            )

    def _pin(self) -> None:
        rows = self.world.query(
            "SELECT DISTINCT ON (user_id) id FROM memories"
            " WHERE state = 'active' ORDER BY user_id, kind, id"
        )
        for row in rows:
            key, now = MemoryId(row[0]), self.world.clock.now()
            self.world.container.lifecycle.pins.pin(TENANT, key, now, pinned=True)
            self.progress.pinned.add(key)

    def _measure(self, day: int) -> None:
        size = self.world.measure(day)
        self.findings.sizes.append(size)
        active = size.rows.get("memories", 0)
        self.note(
            f"day {day}: {self.findings.sessions:,} sessions, {active:,} memories, "
            f"{size.points:,} points, {size.megabytes:.0f} MB, {self.findings.evicted:,} evicted, "
            f"{self.findings.purged:,} purged"
        )

    def _blame(self, problem: str) -> None:
        self.findings.problems.append(problem)
