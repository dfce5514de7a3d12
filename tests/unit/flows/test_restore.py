"""Looking back at a memory, and making it current again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from config.policy import Policies
from pipelines.errors import InputError, NotFound, OwnerBusy
from pipelines.flows.consolidate import Consolidate
from pipelines.flows.history import History
from pipelines.flows.restore import Restore
from pipelines.model import MemoryState, Slot
from pipelines.stages.merging.relate import Relation
from pipelines.testing.index import InMemoryIndex
from pipelines.testing.lifecycle import InMemoryPins
from pipelines.testing.models import HashEmbedder, InMemoryVerdicts, ScriptedJudge
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock, NoGenerations, RecordingWaker
from tests.builders import ALICE, START, day, make_fact, make_transcript

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.model import Fact, Memory
    from pipelines.stages.merging.relate import Pair

LEASE = timedelta(minutes=5)


def _judged(pair: Pair) -> Relation:
    return Relation.CHANGED if pair.is_in_slot else Relation.SAME


class World:
    def __init__(self, rule: Callable[[Pair], Relation] = _judged) -> None:
        self.stores, self.clock = InMemoryStores(), ManualClock(START)
        verdicts = InMemoryVerdicts()
        self.consolidate = Consolidate(
            self.stores,
            InMemoryIndex(),
            HashEmbedder(),
            verdicts,
            ScriptedJudge(rule),
            RecordingWaker(),
            self.clock,
            Policies(),
        )
        self.restore = Restore(
            self.stores,
            InMemoryPins(self.stores),
            verdicts,
            self.consolidate,
            NoGenerations(),
            RecordingWaker(),
            self.clock,
        )
        self.history = History(self.stores)

    def tell(self, *facts: Fact) -> None:
        for fact in facts:
            transcript = make_transcript("said", session=fact.session_id, key=fact.session_id)
            self.stores.accept([transcript], START)
            claim = self.stores.claim_transcript(transcript.id, START, LEASE)
            assert claim is not None
            self.stores.commit_distilled(claim, [fact], [], START)
        self.consolidate.run(ALICE)

    def memory(self, statement: str) -> Memory:
        found = self.stores.export_memories("acme", "alice", None, 100)
        (memory,) = [item for item in found if item.statement == statement]
        return memory

    def current(self) -> list[str]:
        found = self.stores.export_memories("acme", "alice", None, 100)
        return sorted(m.statement for m in found if m.state is MemoryState.ACTIVE)


def city(value: str, number: int) -> Fact:
    return make_fact(
        f"User lives in {value}.",
        attribute="home city",
        value=value,
        session=f"s{number}",
        at=day(number),
    )


def test_restore_makes_a_superseded_memory_current_for_good() -> None:
    """What a person restored stays, beside its successor and through later changes."""
    world = World()
    world.tell(city("Berlin", 0), city("Lisbon", 5))
    berlin = world.memory("User lives in Berlin.")

    restored = world.restore.run("acme", berlin.id)

    assert (MemoryState.ACTIVE, None, None) == (
        restored.state,
        restored.valid_to,
        restored.superseded_by,
    )
    assert ["User lives in Berlin.", "User lives in Lisbon."] == world.current()
    world.tell(city("Lisbon", 9), city("Porto", 12))
    assert ["User lives in Berlin.", "User lives in Porto."] == world.current()


def test_restore_takes_a_merged_memory_out_again() -> None:
    """What turned out to be said already is a memory of its own again, with its evidence."""
    world = World(
        lambda pair: Relation.SAME if "plain" in pair.earlier.statement else Relation.BOTH
    )
    sencha = make_fact("User likes the green tea of Japan best.", session="s1", at=day(1))
    fine = make_fact("User likes the fine green tea of Japan best.", session="s2", at=day(2))
    plain = make_fact("User likes the plain green tea of Japan best.", session="s0", at=day(0))
    world.tell(sencha, fine)
    world.tell(plain)
    assert [plain.statement] == world.current()
    merged = world.memory(fine.statement)
    assert MemoryState.MERGED is merged.state

    restored = world.restore.run("acme", merged.id)

    assert (MemoryState.ACTIVE, fine.evidence) == (restored.state, restored.evidence)
    assert sorted([plain.statement, fine.statement]) == world.current()


def test_restore_refuses_what_is_current_or_ended_by_its_own_word() -> None:
    """There must be something to restore, and a person's own word is no mistake of the memory."""
    world = World()
    slot = Slot("user", "language", "french")
    world.tell(make_fact("User speaks French.", slot=slot, value="French", session="s1"))
    with pytest.raises(InputError, match="current already"):
        world.restore.run("acme", world.memory("User speaks French.").id)
    world.tell(
        make_fact(
            "No French any more.", slot=slot, value="French", session="s2", at=day(1), ends=True
        )
    )

    with pytest.raises(InputError, match="said so"):
        world.restore.run("acme", world.memory("User speaks French.").id)


def test_restore_says_that_the_user_is_busy_when_another_worker_holds_them() -> None:
    """Nothing is written under another worker's lease."""
    world = World()
    world.tell(city("Berlin", 0), city("Lisbon", 5))
    world.stores.mark_owner_due(ALICE, START)
    assert world.stores.claim_owner(ALICE, START, LEASE) is not None

    with pytest.raises(OwnerBusy):
        world.restore.run("acme", world.memory("User lives in Berlin.").id)


def test_history_tells_the_slot_in_order_and_the_events_of_the_memory() -> None:
    """Before, after, and why."""
    world = World()
    world.tell(city("Lisbon", 5))
    world.tell(city("Berlin", 0))

    told = world.history.run("acme", world.memory("User lives in Lisbon.").id)

    assert ["Berlin", "Lisbon"] == [memory.value for memory in told.timeline]
    assert ["memory_inserted", "memory_promoted"] == [event.name for event in told.events]


def test_history_is_nobody_elses() -> None:
    """Another tenant's memory has no history."""
    world = World()
    world.tell(city("Lisbon", 5))

    with pytest.raises(NotFound):
        world.history.run("other", world.memory("User lives in Lisbon.").id)
