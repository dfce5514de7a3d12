"""What is known around a user's new facts: all that merging may have to look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.model import memory_id
from pipelines.stages.merging.merge import Known, select_displaced
from pipelines.stages.merging.relate import Relations

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from config.policy import DedupPolicy
    from pipelines.flows.vectors import Vectors
    from pipelines.model import Fact, Memory, MemoryId, Owner, Slot, Vector
    from pipelines.ports import MemoryStore, VectorIndex

# An index rounds otherwise than the rules do.
_ROUNDED = 0.001
_Facts = dict["MemoryId", tuple["Fact", ...]]


@dataclass(frozen=True, slots=True)
class KnownFinder:
    """Finds memories by what they say, by their slots, and by what is near."""

    store: MemoryStore
    index: VectorIndex
    policy: DedupPolicy

    def find(
        self,
        owner: Owner,
        facts: Sequence[Fact],
        vectors: Vectors,
        refile: Collection[MemoryId] = (),
    ) -> Known:
        """What concerns these facts, and those of the memories to ``refile``.

        Facts that have to make room for a new one may find their place beside others than it: what
        is near them is found, too.
        """
        asked = self.store.load_memories(owner, refile) if refile else []
        again = self.store.load_facts(owner, refile) if refile else {}
        moving = [*facts, *_all_of(again)]
        _remember(asked, vectors)
        vectors.learn(fact.statement for fact in moving)
        slots = {row.slot for row in asked if row.slot}
        memories = self._find_around(owner, moving, vectors, slots, refile)
        memories, kept, displaced = self._with_facts(owner, moving, memories, vectors, refile)
        moved = _all_of({key: kept[key] for key in displaced - set(refile) if key in kept})
        if not moved:
            return Known(tuple(memories), kept)
        wanted = [vectors.of(said) for said in _said(moved)]
        memories = self._load_more(
            owner, memories, self._find_near(owner, wanted, self.policy.candidates)
        )
        memories, others, _ = self._with_facts(owner, moved, memories, vectors, kept)
        return Known(tuple(memories), {**others, **kept})

    def _find_around(
        self,
        owner: Owner,
        moving: Sequence[Fact],
        vectors: Vectors,
        slots: set[Slot],
        refile: Collection[MemoryId],
    ) -> list[Memory]:
        wanted = [vectors.of(said) for said in _said(moving)]
        near = self._find_near(owner, wanted, self.policy.candidates)
        # The index may lag: what it has not seen yet comes from the store.
        memories = self.store.find_candidates(
            owner,
            {fact.statement for fact in moving},
            {fact.slot for fact in moving if fact.slot} | slots,
            near | set(refile),
        )
        if not near <= {memory.id for memory in memories}:
            # Those of another generation stand among them, and crowd out what is wanted.
            near = self._find_near(owner, wanted, 2 * self.policy.candidates)
            memories = self._load_more(owner, memories, near)
        return memories

    def _find_near(self, owner: Owner, wanted: Sequence[Vector], limit: int) -> set[MemoryId]:
        # What a generation is about to trade places with is found under the live owner. What is
        # farther than anybody is asked about is nothing to merge with.
        least = self.policy.min_ask - _ROUNDED
        asked = dict.fromkeys((owner, owner.live))
        found = [self.index.neighbours(whose, wanted, limit, min_cosine=least) for whose in asked]
        return {key for lists in found for keys in lists for key in keys}

    def _load_more(
        self, owner: Owner, memories: list[Memory], ids: Iterable[MemoryId]
    ) -> list[Memory]:
        missing = set(ids) - {memory.id for memory in memories}
        return memories + self.store.load_memories(owner, missing)

    def _with_facts(
        self,
        owner: Owner,
        newcomers: Sequence[Fact],
        memories: list[Memory],
        vectors: Vectors,
        refile: Collection[MemoryId],
    ) -> tuple[list[Memory], _Facts, set[MemoryId]]:
        """With the facts of memories that may have to be put together anew, and which ones must."""
        _remember(memories, vectors)
        relations = Relations(self.policy, vectors.of)
        slotted = [memory.id for memory in memories if memory.slot is not None]
        displaced = set(select_displaced(newcomers, memories, relations))
        facts = self.store.load_facts(owner, {*slotted, *displaced, *refile})
        kept = _all_of(facts)
        # A fact that goes its own way takes the memory that it once had.
        memories = self._load_more(owner, memories, {memory_id(fact.id) for fact in kept})
        _remember(memories, vectors)
        vectors.learn(fact.statement for fact in kept)
        return memories, facts, displaced


def _remember(memories: Iterable[Memory], vectors: Vectors) -> None:
    for memory in memories:
        vectors.remember(memory)


def _all_of(facts: _Facts) -> list[Fact]:
    return [fact for members in facts.values() for fact in members]


def _said(facts: Iterable[Fact]) -> list[str]:
    return list(dict.fromkeys(fact.statement for fact in facts))
