"""Alice's memories, to be recalled."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from config.policy import Policies
from config.retrieval import RankPolicy
from pipelines.flows.consolidate import Consolidate
from pipelines.flows.project import Project
from pipelines.flows.recall import Question, Recall
from pipelines.testing.index import InMemoryIndex
from pipelines.testing.lifecycle import InMemoryUseCounter
from pipelines.testing.models import HashEmbedder, InMemoryVerdicts
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import ALICE, START, make_fact, make_transcript

if TYPE_CHECKING:
    from pipelines.model import Owner

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
            InMemoryVerdicts(),
            None,
            RecordingWaker(),
            self.clock,
            Policies(),
        ).run(ALICE)
        Project(self.stores, self.index, self.clock).run()
        self.uses = InMemoryUseCounter()
        self.flow = Recall(
            self.stores,
            self.index,
            self.embedder,
            self.embedder,
            self.uses,
            self.clock,
            RankPolicy(),
        )

    def ask(self, query: str, owner: Owner = ALICE, **limits: Any) -> list[str]:  # noqa: ANN401 - limits of a question
        found = self.flow.run(question(query, owner, **limits))
        return [item.memory.statement for item in found.memories]


def question(query: str, owner: Owner = ALICE, **changes: Any) -> Question:  # noqa: ANN401 - fields of a question
    return replace(Question(owner, query, max_memories=10, max_tokens=400), **changes)
