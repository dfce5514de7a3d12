"""Merging: new facts against what is already known of the user, as a plan.

A fact ends in exactly one memory: it reinforces one that says the same, takes its place on the
timeline of its slot, or becomes a memory of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from pipelines.model import FactOutcome, Memory, MemoryId, MemoryState, Scope, memory_id
from pipelines.plan import Insert, Plan, Promote, Refile, Reinforce, Settlement, Supersede
from pipelines.stages.dedup import is_duplicate, statement_key
from pipelines.stages.promote import promotion_reason
from pipelines.stages.timeline import arrange

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from config.policy import DedupPolicy, PromotionPolicy
    from pipelines.model import Evidence, Fact, FactId, Slot, Vector
    from pipelines.plan import Change


def merge(
    facts: Sequence[tuple[Fact, Vector]],
    known: Iterable[Memory],
    dedup: DedupPolicy,
    promotion: PromotionPolicy,
) -> Plan:
    """Decide what the facts change.

    Args:
        facts: New facts with the vectors of their statements.
        known: The owner's memories that may concern them: same statement, same slot, near.
        dedup: When two statements say the same.
        promotion: When a memory of a session becomes one of the user.

    Returns:
        A plan that settles every fact. Merging the same facts in another order, or in
        several portions, leaves the same statements for exact duplicates and slots.
    """
    desk = _Desk(known, dedup)
    for fact, vector in sorted(facts, key=lambda item: item[0].order):
        desk.file(fact, vector)
    desk.promote(promotion)
    return desk.plan()


@dataclass(slots=True)
class _Shelf:
    """The memories of one subject, by statement and by vector."""

    vectors: dict[MemoryId, Vector] = field(default_factory=dict)
    keys: dict[str, MemoryId] = field(default_factory=dict)

    def put(self, memory: Memory) -> None:
        self.vectors[memory.id] = memory.vector
        self.keys.setdefault(statement_key(memory.statement), memory.id)

    def nearest(self, vector: Vector, min_cosine: float) -> Iterator[tuple[MemoryId, float]]:
        if not self.vectors:
            return
        ids = list(self.vectors)
        cosines = np.stack(list(self.vectors.values())) @ vector
        for position in np.argsort(-cosines, kind="stable"):
            if cosines[position] < min_cosine:
                return
            yield ids[position], float(cosines[position])


class _Desk:
    """The memories as the plan made so far leaves them."""

    def __init__(self, known: Iterable[Memory], policy: DedupPolicy) -> None:
        self._policy = policy
        self._memories: dict[MemoryId, Memory] = {}
        self._shelves: dict[str, _Shelf] = {}
        self._slots: dict[Slot, list[MemoryId]] = {}
        self._changes: list[Change] = []
        self._settled: dict[FactId, Settlement] = {}
        for memory in sorted(known, key=lambda item: (item.valid_from, item.id)):
            self._put(memory)
        self._read_versions = {key: memory.version for key, memory in self._memories.items()}

    def file(self, fact: Fact, vector: Vector) -> None:
        newcomer = _as_memory(fact, vector)
        if fact.slot is not None:
            return self._file_in_slot(fact, newcomer)
        twin = self._find_twin(newcomer)
        if twin is None:
            self._change(Insert(newcomer))
            self._settle(fact, FactOutcome.INSERTED, newcomer.id)
        else:
            self._reinforce(twin, newcomer)
            self._settle(fact, FactOutcome.REINFORCED, twin.id)
        return None

    def promote(self, policy: PromotionPolicy) -> None:
        for key in dict.fromkeys(change.memory.id for change in self._changes):
            memory = self._memories[key]
            reason = promotion_reason(memory, policy)
            if reason is not None:
                wider = _next_version(replace(memory, scope=Scope.USER))
                self._change(Promote(wider, memory.scope, reason))

    def plan(self) -> Plan:
        changed = {change.memory.id for change in self._changes}
        versions = {key: value for key, value in self._read_versions.items() if key in changed}
        return Plan(tuple(self._changes), versions, self._settled)

    def _find_twin(self, newcomer: Memory) -> Memory | None:
        shelf = self._shelves.get(newcomer.subject.casefold())
        if shelf is None:
            return None
        exact = shelf.keys.get(statement_key(newcomer.statement))
        if exact is not None and self._may_absorb(exact, newcomer):
            return self._memories[exact]
        for key, cosine in shelf.nearest(newcomer.vector, self._policy.min_cosine):
            memory = self._memories[key]
            if self._may_absorb(key, newcomer) and is_duplicate(
                memory.statement, newcomer.statement, cosine, self._policy
            ):
                return memory
        return None

    def _may_absorb(self, key: MemoryId, newcomer: Memory) -> bool:
        memory = self._memories[key]
        if memory.state is not MemoryState.ACTIVE:
            return False
        # The current value of a slot says nothing about the time before it began.
        return memory.slot is None or newcomer.valid_from >= memory.valid_from

    def _reinforce(self, memory: Memory, newcomer: Memory) -> None:
        added = _missing(memory.evidence, newcomer.evidence)
        # Whoever said it first words the memory, so that the order of arrival leaves no trace.
        first = newcomer if newcomer.valid_from < memory.valid_from else memory
        self._change(
            Reinforce(
                _next_version(
                    replace(
                        memory,
                        statement=first.statement,
                        vector=first.vector,
                        distilled_by=first.distilled_by,
                        valid_from=first.valid_from,
                        confirmed_at=max(memory.confirmed_at, newcomer.confirmed_at),
                        importance=max(memory.importance, newcomer.importance),
                        evidence=memory.evidence + added,
                    )
                ),
                added,
            )
        )

    def _file_in_slot(self, fact: Fact, newcomer: Memory) -> None:
        assert newcomer.slot is not None  # noqa: S101 - narrows the type; the caller checked
        before = [self._memories[key] for key in self._slots.get(newcomer.slot, [])]
        arranged = arrange(before, newcomer)
        for memory in arranged:
            self._apply_arranged(memory)
        home = next(memory for memory in arranged if newcomer.evidence[0] in memory.evidence)
        is_new = home.id == newcomer.id
        self._settle(fact, FactOutcome.INSERTED if is_new else FactOutcome.REINFORCED, home.id)

    def _apply_arranged(self, memory: Memory) -> None:
        before = self._memories.get(memory.id)
        if before is None:
            self._change(Insert(memory))
        elif before != memory:
            self._change(_slot_change(before, _next_version(memory)))

    def _settle(self, fact: Fact, outcome: FactOutcome, key: MemoryId) -> None:
        self._settled[fact.id] = Settlement(outcome, key)

    def _change(self, change: Change) -> None:
        self._changes.append(change)
        self._put(change.memory)

    def _put(self, memory: Memory) -> None:
        is_new = memory.id not in self._memories
        self._memories[memory.id] = memory
        self._shelves.setdefault(memory.subject.casefold(), _Shelf()).put(memory)
        if is_new and memory.slot is not None:
            self._slots.setdefault(memory.slot, []).append(memory.id)


def _as_memory(fact: Fact, vector: Vector) -> Memory:
    return Memory(
        id=memory_id(fact.id),
        owner=fact.owner,
        scope=Scope.SESSION,
        session_id=fact.session_id,
        statement=fact.statement,
        subject=fact.subject,
        kind=fact.kind,
        importance=fact.importance,
        valid_from=fact.event_at,
        confirmed_at=fact.event_at,
        evidence=fact.evidence,
        vector=vector,
        slot=fact.slot,
        value=fact.value,
        distilled_by=fact.distilled_by,
    )


def _next_version(memory: Memory) -> Memory:
    return replace(memory, version=memory.version + 1)


def _missing(present: tuple[Evidence, ...], offered: tuple[Evidence, ...]) -> tuple[Evidence, ...]:
    return tuple(item for item in offered if item not in present)


def _slot_change(before: Memory, after: Memory) -> Change:
    released = _missing(after.evidence, before.evidence)
    added = _missing(before.evidence, after.evidence)
    if released:
        return Refile(after, released, added)
    if added:
        return Reinforce(after, added)
    if before.state is MemoryState.ACTIVE and after.state is MemoryState.SUPERSEDED:
        return Supersede(after)
    return Refile(after)
