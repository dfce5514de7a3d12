"""Recalling."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from config.policy import Policies, RankPolicy
from pipelines.errors import InputError
from pipelines.flows.consolidate import Consolidate
from pipelines.flows.project import Project
from pipelines.flows.recall import Question, Recall
from pipelines.model import Owner
from pipelines.plan import Plan, Supersede
from pipelines.stages.fence import strip_fenced
from pipelines.testing.index import InMemoryIndex
from pipelines.testing.models import HashEmbedder
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import ALICE, BOB, START, day, make_fact, make_transcript

LEASE = timedelta(minutes=5)


class World:
    """Alice's memories, consolidated and projected; ``ask`` recalls them."""

    def __init__(self, *statements: str, importance: float = 0.6) -> None:
        self.stores, self.index, self.clock = InMemoryStores(), InMemoryIndex(), ManualClock(START)
        self.embedder = HashEmbedder()
        facts = [
            make_fact(text, ordinal=n, importance=importance) for n, text in enumerate(statements)
        ]
        self.stores.accept([make_transcript("s1", key="s1")], START)
        claim = self.stores.claim_transcript(facts[0].transcript_id, START, LEASE)
        assert claim is not None
        self.stores.commit_distilled(claim, facts, [], START)
        Consolidate(
            self.stores,
            self.index,
            self.embedder,
            RecordingWaker(),
            self.clock,
            Policies(),
            retry_delay=LEASE,
        ).run(ALICE)
        Project(self.stores, self.index).run()
        self.flow = Recall(
            self.stores, self.index, self.embedder, self.embedder, self.clock, RankPolicy()
        )

    def ask(self, query: str, owner: Owner = ALICE, **limits: Any) -> list[str]:  # noqa: ANN401 - limits of a question
        found = self.flow.run(question(query, owner, **limits))
        return [item.memory.statement for item in found.memories]


def question(query: str, owner: Owner = ALICE, **changes: Any) -> Question:  # noqa: ANN401 - fields of a question
    return replace(Question(owner, query, max_memories=10, max_tokens=400), **changes)


def test_recall_finds_the_nearest_first() -> None:
    """The memory that answers stands at the top."""
    world = World("User likes green tea.", "User lives in Berlin.", "User has a dog.")

    assert "User lives in Berlin." == world.ask("in which city does user live? Berlin?")[0]


def test_recall_answers_no_other_owner() -> None:
    """Neither another user nor another tenant's user of the same name sees anything."""
    world = World("User likes green tea.")

    assert [] == world.ask("green tea", BOB)
    assert [] == world.ask("green tea", Owner("other", "alice"))


def test_recall_shows_a_session_s_trifles_only_in_that_session() -> None:
    """Session scope is visible with its session id and not without."""
    world = World("User is debugging the login test.", importance=0.1)

    assert [] == world.ask("login test")
    assert [] == world.ask("login test", session_id="s2")
    assert ["User is debugging the login test."] == world.ask("login test", session_id="s1")


def test_recall_drops_what_a_stale_index_still_returns() -> None:
    """Hydration decides: a superseded memory is not recalled, however stale the index."""
    world = World("User lives in Berlin.")
    (memory,) = world.stores.export_memories("acme", "alice", None, 10)
    claim = world.stores.claim_owner(ALICE, START, LEASE)
    if claim is None:
        world.stores._mark_due(ALICE, START)
        claim = world.stores.claim_owner(ALICE, START, LEASE)
    assert claim is not None
    closed = replace(memory, state=type(memory.state).SUPERSEDED, valid_to=day(1), version=9)
    world.stores.commit_plan(claim, Plan((Supersede(closed),), {memory.id: memory.version}), START)

    assert 1 == world.index.count(ALICE)
    assert [] == world.ask("Berlin")


def test_recall_keeps_its_block_within_the_token_budget() -> None:
    """The whole block, fence included, never exceeds the budget."""
    world = World(*[f"User likes tea number {n} very much indeed." for n in range(10)])

    for budget in (1, 20, 40, 80, 160):
        found = world.flow.run(question("tea", max_tokens=budget))
        assert found.tokens <= budget
    assert 10 == len(world.ask("tea"))
    assert 3 == len(world.ask("tea", max_memories=3))


def test_recall_block_is_never_evidence_again() -> None:
    """The block is fenced, so that distilling strips all of it."""
    world = World("User lives in Berlin.")

    block = world.flow.run(question("Berlin")).block

    assert "User lives in Berlin." in block
    assert "" == strip_fenced(block).strip()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"query": "  "}, "query"),
        ({"query": "x" * 9_000}, "query"),
        ({"max_memories": 0}, "max_memories"),
        ({"max_tokens": 0}, "max_tokens"),
    ],
)
def test_recall_refuses_a_senseless_question(changes: dict[str, Any], field: str) -> None:
    """The field is named, with what to send instead."""
    world = World("User lives in Berlin.")

    with pytest.raises(InputError) as caught:
        world.flow.run(replace(question("Berlin"), **changes))
    assert field == caught.value.field
