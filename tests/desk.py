"""Merging as consolidation does it, portion by portion, with everything known at hand."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from config.policy import Policies
from pipelines.model import FactOutcome, MemoryState
from pipelines.stages.merging.merge import Known, merge, select_displaced
from pipelines.stages.merging.relate import Relations
from tests.builders import vector_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pipelines.model import Fact, FactId, Memory, MemoryId, Vector
    from pipelines.plan import Plan
    from pipelines.stages.merging.relate import Relation


class Desk:
    """Remembers memories and where each fact was settled, and merges what is told."""

    def __init__(
        self,
        verdicts: Mapping[str, Relation] | None = None,
        vectors: Callable[[str], Vector] = vector_of,
    ) -> None:
        self.memories: dict[MemoryId, Memory] = {}
        self.homes: dict[FactId, MemoryId] = {}
        self.facts: dict[FactId, Fact] = {}
        self.policies = Policies()
        self._vectors = vectors
        self._verdicts = verdicts or {}

    def tell(self, *facts: Fact) -> Plan:
        """Merge facts into what is known and keep the result."""
        relations = Relations(self.policies.dedup, self._vectors, self._verdicts)
        displaced = select_displaced(facts, self.memories.values(), relations)
        plan = merge(facts, self._known(displaced), relations, self.policies)
        for changed in plan.final_states():
            before = self.memories.get(changed)
            assert plan.read_versions.get(changed) == (before.version if before else None)
        self.memories |= plan.final_states()
        self.facts |= {fact.id: fact for fact in facts}
        for key, settlement in plan.settled.items():
            assert settlement.outcome in {FactOutcome.INSERTED, FactOutcome.REINFORCED}
            assert settlement.memory_id is not None
            self.homes[key] = settlement.memory_id
        return plan

    def current(self) -> list[str]:
        """Statements that hold, sorted."""
        return sorted(m.statement for m in self.memories.values() if m.state is MemoryState.ACTIVE)

    def outline(self) -> set[object]:
        """All that is known, without the ids that depend on who came first."""
        return {
            (m.statement, m.state, m.valid_from, m.valid_to, m.confirmed_at, frozenset(m.evidence))
            for m in self.memories.values()
            if m.state is not MemoryState.MERGED
        }

    def _known(self, displaced: Sequence[MemoryId]) -> Known:
        slotted = {memory.id for memory in self.memories.values() if memory.slot is not None}
        facts: dict[MemoryId, list[Fact]] = defaultdict(list)
        for fact, home in self.homes.items():
            if home in slotted or home in displaced:
                facts[home].append(self.facts[fact])
        return Known(
            tuple(self.memories.values()), {key: tuple(items) for key, items in facts.items()}
        )


def tell_all(portions: Iterable[Sequence[Fact]], **options: object) -> Desk:
    """A desk that was told the portions one after another."""
    desk = Desk(**options)  # type: ignore[arg-type]
    for portion in portions:
        desk.tell(*portion)
    return desk
