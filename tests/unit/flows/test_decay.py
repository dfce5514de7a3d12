"""Counting uses, evicting what has faded, and purging it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from config.decay import DecayPolicy
from config.retention import RetentionPolicy
from pipelines.errors import InputError
from pipelines.flows.decay import Decay
from pipelines.flows.purge import Purge
from pipelines.flows.uses import CountUses
from pipelines.model import Kind, Memory, MemoryId
from pipelines.outcome import Done, Skipped, Snoozed
from pipelines.plan import Insert, Plan
from pipelines.ports import CountedUses
from pipelines.testing.lifecycle import InMemoryFading, InMemoryHolds, InMemoryUseCounter
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import ALICE, START, make_fact, make_memory

if TYPE_CHECKING:
    from datetime import datetime

POLICY = DecayPolicy()
DAY, LEASE = timedelta(days=1), timedelta(minutes=5)


class DyingCounter(InMemoryUseCounter):
    """The process dies when it has written uses down, before it can say so, the first time."""

    has_died = False

    def drop(self, batch: str) -> None:
        if not self.has_died:
            self.has_died = True
            raise KeyboardInterrupt
        super().drop(batch)


class NothingElse:
    """``RetentionStore`` where nothing expires."""

    def strip_transcripts(self, before: datetime, limit: int) -> int:
        del before, limit
        return 0

    delete_replies = delete_dead = delete_refused = delete_batches = delete_receipts = (
        strip_transcripts
    )


class World:
    """Some events that Alice told, and the flows that let them fade."""

    def __init__(self, *statements: str, counter: InMemoryUseCounter | None = None) -> None:
        self.stores, self.clock, self.waker = InMemoryStores(), ManualClock(START), RecordingWaker()
        self.counter = counter or InMemoryUseCounter()
        self.fading = InMemoryFading(self.stores, InMemoryHolds())
        self.memories = [
            make_memory(make_fact(text, session=text, kind=Kind.EVENT, importance=0.5))
            for text in statements
        ]
        self.stores.mark_owner_due(ALICE, START)
        claim = self.stores.claim_owner(ALICE, START, LEASE)
        assert claim is not None
        self.stores.commit_plan(claim, Plan(tuple(map(Insert, self.memories))), START)
        self.uses = CountUses(self.counter, self.fading, self.waker, self.clock)
        self.decay = Decay(self.fading, self.uses, self.waker, self.clock, POLICY)
        self.purge = Purge(self.fading, NothingElse(), self.clock, POLICY, RetentionPolicy(batch=1))

    def evicted(self) -> list[str]:
        rows = sorted(self.stores.all_memories(), key=lambda row: row.statement)
        return [row.statement for row in rows if row.evicted_at is not None]

    def uses_of(self, memory: Memory) -> int:
        all_of_them = replace(POLICY, threshold=1e9)
        faded = self.fading.find_faded(0, self.clock.now(), all_of_them).faded
        return next(item.uses for item in faded if item.memory_id == memory.id)


def test_what_has_faded_is_evicted_and_the_index_is_told() -> None:
    """A second run finds nothing more to do."""
    world = World("Went to Rome.", "Went to Oslo.")
    world.clock.advance(100 * DAY)

    assert Done({"evicted": 2}) == world.decay.run()
    assert Done({"evicted": 0}) == world.decay.run()
    assert (["Went to Oslo.", "Went to Rome."], 1) == (world.evicted(), world.waker.index_wakes)


def test_what_was_used_a_moment_ago_is_not_evicted() -> None:
    """Also where its use is counted and not written down yet."""
    world = World("Went to Rome.", "Went to Oslo.")
    world.clock.advance(100 * DAY)
    world.counter.note([world.memories[0].id], world.clock.now())

    world.decay.run()

    assert ["Went to Oslo."] == world.evicted()


def test_uses_are_counted_once_though_a_process_dies_between_writing_and_saying_so() -> None:
    """Whoever comes next finds the same batch, and knows that it was written."""
    world = World("Went to Rome.", counter=DyingCounter())
    rome = world.memories[0]
    world.counter.note([rome.id, rome.id], START)

    with pytest.raises(KeyboardInterrupt):
        world.uses.run()
    world.counter.note([rome.id], START)
    world.uses.run()

    assert 1 + 3 == world.uses_of(rome)
    assert Skipped("nothing was recalled") == world.uses.run()


def test_counting_has_nothing_to_do_where_nothing_was_recalled() -> None:
    """And says so."""
    assert Skipped("nothing was recalled") == World().uses.run()


def test_what_was_evicted_is_purged_when_its_grace_is_over() -> None:
    """Until then it is there, for whoever wants it back."""
    world = World("Went to Rome.")
    world.clock.advance(100 * DAY)
    world.decay.run()

    world.clock.advance(POLICY.grace)
    assert Done() == world.purge.run()
    world.clock.advance(DAY)

    assert Done({"memories": 1}) == world.purge.run()
    assert Done() == world.purge.run()
    assert [] == world.stores.all_memories()


class EndlessTable(InMemoryFading):
    """Each part takes longer than a turn, and there are three."""

    clock: ManualClock

    def find_faded_keys(self, position: int, *_: object) -> tuple[list[MemoryId], int | None]:
        self.clock.advance(POLICY.turn)
        return [], position + 1 if position < 2 else None


@pytest.mark.parametrize("position", ["", "-1", "x", "٣", "99999999999999", "9" * 5_000])
def test_position_that_no_turn_gave_is_refused(position: str) -> None:
    """With what to do, and before the database is asked for such a page."""
    with pytest.raises(InputError, match="position"):
        World().decay.run(position)


def test_purge_of_much_goes_on_in_turns() -> None:
    """No turn outlasts the lease under which it is run."""
    world = World("Went to Rome.", "Went to Oslo.", "Went to Bern.")
    world.clock.advance(100 * DAY)
    world.decay.run()
    world.clock.advance(POLICY.grace + DAY)
    retention = RetentionPolicy(batch=1, turn=timedelta())
    purge = Purge(world.fading, NothingElse(), world.clock, replace(POLICY, batch=1), retention)

    turns = []
    while isinstance(outcome := purge.run(), Snoozed):
        turns.append(outcome.counts)

    assert ([{"memories": 1}] * 3, Done()) == (turns, outcome)
    assert [] == world.stores.all_memories()


def test_decay_of_a_large_table_goes_on_in_turns() -> None:
    """Each begins where the one before ended; uses are written down by the first alone."""
    world = World("Went to Rome.")
    table = EndlessTable(world.stores, InMemoryHolds())
    table.clock = world.clock
    decay = replace(world.decay, fading=table)

    first = decay.run()
    assert Snoozed(timedelta(), "more of the table", {"evicted": 0}, "1") == first
    world.counter.note([world.memories[0].id], START)
    second = decay.run("1")
    assert isinstance(second, Snoozed)

    assert Done({"evicted": 0}) == decay.run(second.position)
    assert isinstance(world.counter.take(), CountedUses)
