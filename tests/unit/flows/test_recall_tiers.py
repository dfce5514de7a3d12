"""One recall over all tiers: side by side, in one block, within one budget."""

from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from config.personal import PersonalDataSchema, make_personal_data_policy
from config.policy import PersonalDataPolicy
from config.retrieval import RecallPolicy, Tier
from config.sessions import SessionPolicy, WorkingPolicy
from pipelines.errors import IndexUnavailable
from pipelines.flows.procedures import Procedures
from pipelines.flows.recall_tiers import ALL_TIERS, RecallTiers, Recollection
from pipelines.flows.sessions import Sessions
from pipelines.flows.working import WorkingMemory
from pipelines.stages.injection.fence import strip_fenced
from pipelines.testing.procedures import InMemoryProcedures
from pipelines.testing.sessions import InMemorySessions
from pipelines.testing.working import InMemoryWorking
from tests.builders import ALICE, BOB, START, day
from tests.unit.flows.recalling import World, question

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.stages.procedures import Procedure


class AllTiers:
    """Alice's memories, and what else there is of her, in the session ``s1`` and before."""

    def __init__(self, executor: ThreadPoolExecutor, *statements: str) -> None:
        self.world = World(*statements)
        clock, policy = self.world.clock, SessionPolicy()
        self.cache = InMemorySessions(clock, policy)
        personal = make_personal_data_policy(PersonalDataSchema())
        self.sessions = Sessions(self.cache, clock, personal, policy)
        store = InMemoryWorking(self.cache, WorkingPolicy())
        embedder = self.world.embedder
        self.working = WorkingMemory(store, self.sessions, embedder, None, WorkingPolicy())
        self.procedures = Procedures(InMemoryProcedures(), clock, personal)
        self.flow = RecallTiers(
            self.world.flow,
            self.sessions,
            self.working,
            self.procedures,
            dict.fromkeys(Tier, executor),
            RecallPolicy(patience=timedelta(milliseconds=200)),
        )

    def fill(self) -> None:
        self.sessions.add_episode(ALICE, "s0", "Booked a train to Bern.")
        self.working.append(ALICE, "s1", ["The ticket is in the drawer."])
        self.procedures.put(ALICE, "book a train", ["search", "pay"])

    def ask(self, query: str = "train", **changes: Any) -> Recollection:  # noqa: ANN401 - of a question
        tiers = changes.pop("tiers", ALL_TIERS)
        return self.flow.run(question(query, **({"session_id": "s1"} | changes)), tiers)


@pytest.fixture
def tiers() -> Iterator[AllTiers]:
    with ThreadPoolExecutor(4) as executor:
        yield AllTiers(executor, "User likes night trains.")


def test_all_tiers_are_told_in_one_block_with_a_title_each(tiers: AllTiers) -> None:
    """Memories first, as without the others; the whole block is fenced."""
    tiers.fill()

    found = tiers.ask()

    assert [
        "- User likes night trains. (2026-03-02)",
        "How it is done:",
        "- book a train: 1. search; 2. pay",
        "What happened lately:",
        "- Booked a train to Bern. (2026-03-02)",
        "Held in mind in this session:",
        "- The ticket is in the drawer.",
    ] == found.block.splitlines()[2:-1]
    assert "" == strip_fenced(found.block).strip()
    assert () == found.notes
    assert found.tokens == tiers.world.embedder.count([found.block])[0]


def test_only_the_tiers_that_are_asked_for_are_told(tiers: AllTiers) -> None:
    """The others are not even asked."""
    tiers.fill()

    found = tiers.ask(tiers=frozenset({Tier.EPISODES}))

    assert ((), (), 1, ()) == (
        found.memories,
        found.procedures,
        len(found.episodes),
        found.working.items,
    )


def test_other_users_have_nothing_of_it(tiers: AllTiers) -> None:
    """Whatever the tier."""
    tiers.fill()

    assert "" == tiers.ask(owner=BOB).block


def test_past_day_has_memories_only(tiers: AllTiers) -> None:
    """The other tiers know the present alone."""
    tiers.fill()

    found = tiers.ask(as_of=day(1))

    assert (1, (), (), ()) == (
        len(found.memories),
        found.procedures,
        found.episodes,
        found.working.items,
    )


def test_tier_that_is_away_is_left_out_and_named(tiers: AllTiers) -> None:
    """An agent does better with a part than with nothing."""
    tiers.fill()
    tiers.cache.is_away = True

    found = tiers.ask()

    assert (1, 1) == (len(found.memories), len(found.procedures))
    assert ["episodes left out", "working left out"] == [note.split(":")[0] for note in found.notes]


def test_tier_that_is_slow_is_left_out_and_named(tiers: AllTiers) -> None:
    """Nobody waits for it longer than the policy says."""
    gate = threading.Event()

    class Slow(InMemoryProcedures):
        def search(self, *asked: Any) -> list[Procedure]:  # noqa: ANN401 - as the store
            gate.wait(10)
            return super().search(*asked)

    slow = replace(
        tiers.flow, procedures=Procedures(Slow(), tiers.world.clock, PersonalDataPolicy())
    )
    found = slow.run(question("train", session_id="s1"))
    gate.set()

    assert ("procedures left out: it took too long",) == found.notes
    assert 1 == len(found.memories)


def test_tiers_that_are_slow_are_waited_for_together(tiers: AllTiers) -> None:
    """A store that hangs costs a recall the patience once, however many tiers lie in it."""
    waits: list[float | None] = []

    class Hung(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:  # noqa: ANN401 - never there
            waits.append(timeout)
            return super().result(timeout)

    class Hanging(ThreadPoolExecutor):
        def submit(self, *_: object, **__: object) -> Future[Any]:
            return Hung()

    with Hanging() as executor:
        flow = replace(tiers.flow, executors=dict.fromkeys(Tier, executor))
        found = flow.run(question("train", session_id="s1"))

    assert 3 == len(found.notes)
    assert sum(item or 0 for item in waits) <= tiers.flow.policy.patience.total_seconds()


def test_memories_that_cannot_be_had_are_an_error_where_nothing_else_is_known(
    tiers: AllTiers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With anything else the agent is told that, and what is missing."""

    def away(*_: object, **__: object) -> list[object]:
        raise IndexUnavailable("the index is away")

    monkeypatch.setattr(tiers.world.index, "search", away)

    with pytest.raises(IndexUnavailable):
        tiers.ask()
    tiers.fill()
    found = tiers.ask()

    assert ("memories left out: the index is away",) == found.notes
    assert "Booked a train" in found.block


def test_no_tier_crowds_out_the_memories(tiers: AllTiers) -> None:
    """Each has its share at most, as long as there are memories to be told."""
    for number in range(20):
        tiers.working.append(ALICE, "s1", [f"Note {number} about the train and the luggage."])
    for number in range(5):
        tiers.sessions.add_episode(ALICE, f"s{number}", f"Episode {number} of a long journey.")

    narrow = tiers.ask(max_tokens=80)
    wide = tiers.ask(max_tokens=1_000)

    assert 1 == len(narrow.memories)
    assert narrow.tokens <= 80
    assert "Note 19" in narrow.block
    assert "Note 0 " not in narrow.block
    assert len(narrow.working.items) < len(wide.working.items)
    assert 5 == len(wide.episodes)


def test_what_is_left_over_goes_to_whoever_has_more_to_say(tiers: AllTiers) -> None:
    """Without memories the budget is not wasted."""
    for number in range(10):
        tiers.working.append(ALICE, "s1", [f"Note {number} about the train."])

    found = tiers.ask(max_tokens=400, tiers=ALL_TIERS - {Tier.MEMORIES})

    assert 10 == len(found.working.items)
    assert found.block.index("Note 0") < found.block.index("Note 9")


def test_only_what_was_told_counts_as_used(tiers: AllTiers) -> None:
    """Once for each recall."""
    tiers.fill()

    found = tiers.ask()

    taken = tiers.world.uses.take()
    assert taken is not None
    assert {item.memory.id: 1 for item in found.memories} == taken.uses
    assert START == tiers.world.clock.now()


def test_summary_that_is_too_long_hides_no_newer_item(tiers: AllTiers) -> None:
    """What was noted last is told, and the summary as soon as there is room for it."""
    for number in range(21):
        tiers.working.append(ALICE, "s1", [f"Note {number} about the train and the luggage."])
    summary = tiers.working.read(ALICE, "s1").summary
    assert summary is not None

    narrow = tiers.ask(max_tokens=120)
    wide = tiers.ask(max_tokens=1_000)

    assert summary.tokens > 120 >= narrow.tokens
    assert narrow.working.summary is None
    assert "Note 20" in narrow.block
    assert summary == wide.working.summary
    assert wide.block.index("Note 15") < wide.block.index("Note 16") < wide.block.index("Note 20")


def test_line_that_is_too_long_hides_no_other_one(tiers: AllTiers) -> None:
    """Neither of episodes nor of procedures; as with memories, the next one is tried."""
    tiers.sessions.add_episode(ALICE, "s0", "Booked a train to Bern.")
    tiers.sessions.add_episode(ALICE, "s2", "A long journey by train. " * 100)
    tiers.procedures.put(ALICE, "book a train", ["search", "pay"])
    tiers.procedures.put(ALICE, "book a train and a room", ["look for a train " * 100])

    found = tiers.ask("book a train and a room")

    assert ["Booked a train to Bern."] == [item.content for item in found.episodes]
    assert ["book a train"] == [item.name for item in found.procedures]
