"""Merging: new facts against what is already known of the user, as a plan.

A fact ends in exactly one memory: it joins one that says the same, takes its place on the
timeline of its slot, or becomes a memory of its own. What comes out is a function of the facts
and their order in time: not of the order in which they arrived, nor of the portions.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pipelines.model import Fact, FactId, FactOutcome, MemoryState, Scope, memory_id
from pipelines.plan import (
    Demote,
    Insert,
    Plan,
    Promote,
    Refile,
    Reinforce,
    Restore,
    Settlement,
    Supersede,
)
from pipelines.stages.dedup import statement_key
from pipelines.stages.merging.cluster import Clusters
from pipelines.stages.merging.groups import assign_rows, close, compose
from pipelines.stages.merging.promote import scope_of
from pipelines.stages.merging.timeline import arrange, arrange_member

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from config.policy import Policies
    from pipelines.model import Evidence, Memory, MemoryId, Slot
    from pipelines.plan import Change
    from pipelines.stages.merging.groups import Group
    from pipelines.stages.merging.relate import Relations


@dataclass(frozen=True, slots=True)
class Known:
    """What the store has that may concern the new facts.

    Attributes:
        memories: Memories with the same statement, in the same slot, near, or kept by a fact.
        facts: The facts of those memories whose facts matter, by memory; a memory that is not
            named stands for its facts itself.
    """

    memories: tuple[Memory, ...] = ()
    facts: Mapping[MemoryId, tuple[Fact, ...]] = field(default_factory=dict)


def merge(
    newcomers: Iterable[Fact],
    known: Known,
    relations: Relations,
    policies: Policies,
    refile: Collection[MemoryId] = (),
) -> Plan:
    """Decide what the facts change.

    Args:
        newcomers: New facts, in any order.
        known: What is stored; must hold all facts of a slot that a newcomer has, and those of
            the memories that ``select_displaced`` names.
        relations: How statements relate; collects what only a judge could tell.
        policies: Slots and promotion.
        refile: Memories whose facts are to find their places anew, because a verdict on them
            changed.

    Returns:
        A plan that settles every new fact, and anew the known ones that moved.
    """
    return _Desk(known, relations, policies).plan(list(newcomers), refile)


def select_displaced(
    newcomers: Sequence[Fact], memories: Iterable[Memory], relations: Relations
) -> list[MemoryId]:
    """Memories whose facts may have to find new places, because a newcomer goes before them.

    Those are the ones that began after a newcomer of the same subject that is near, and those
    with the statement of a newcomer that turned out to have a slot.
    """
    by_subject = defaultdict(list)
    for fact in newcomers:
        by_subject[fact.subject.casefold()].append(fact)
    return [
        memory.id
        for memory in memories
        if memory.slot is None
        and memory.state is MemoryState.ACTIVE
        and any(
            _displaces(fact, memory, relations) for fact in by_subject[memory.subject.casefold()]
        )
    ]


def _displaces(fact: Fact, memory: Memory, relations: Relations) -> bool:
    is_earlier = fact.event_at <= memory.valid_from
    if fact.slot is None and not is_earlier:
        return False
    if statement_key(fact.statement) == statement_key(memory.statement):
        return True
    if fact.slot is not None or not is_earlier:
        return False
    cosine = memory.vector @ relations.vector_of(fact.statement)
    return bool(cosine >= relations.policy.min_ask)


class _Desk:
    """Facts and memories laid out, to be put together anew."""

    def __init__(self, known: Known, relations: Relations, policies: Policies) -> None:
        self._relations = relations
        self._policies = policies
        self._before = {memory.id: memory for memory in known.memories}
        self._after: dict[MemoryId, Memory] = {}
        self._origins: dict[FactId, MemoryId] = {}
        self._stand_ins: set[FactId] = set()
        self._slots: dict[Slot, list[Fact]] = defaultdict(list)
        self._free: dict[MemoryId, list[Fact]] = {}
        self._settled: dict[FactId, Settlement] = {}
        for memory in sorted(known.memories, key=lambda item: (item.valid_from, item.id)):
            self._lay_out(memory, known.facts.get(memory.id))

    def plan(self, newcomers: list[Fact], refile: Collection[MemoryId]) -> Plan:
        fresh = {fact.id for fact in newcomers}
        free, touched = self._sort_in(newcomers)
        for key in refile:
            free += self._free.pop(key, [])
            slot = self._before[key].slot
            touched |= {slot} if slot is not None else set()
        for slot in sorted(touched, key=str):
            self._arrange_slot(slot, fresh)
        self._file_free(free, fresh)
        changes = [*self._changes(), *self._scope_changes()]
        read = {change.memory.id for change in changes} & self._before.keys()
        return Plan(tuple(changes), {key: self._before[key].version for key in read}, self._settled)

    def _lay_out(self, memory: Memory, facts: Sequence[Fact] | None) -> None:
        if memory.state is MemoryState.MERGED:
            return
        stand_in = _stand_in(memory)
        members = [_adopt(fact, stand_in) for fact in facts or (stand_in,)]
        if not facts:
            self._stand_ins.add(stand_in.id)
        self._origins.update((fact.id, memory.id) for fact in members)
        if memory.slot is not None:
            self._slots[memory.slot] += members
        elif memory.state is MemoryState.ACTIVE:
            self._free[memory.id] = sorted(members, key=lambda fact: fact.order)

    # ---- where a fact belongs -----------------------------------------------------------------

    def _sort_in(self, newcomers: Sequence[Fact]) -> tuple[list[Fact], set[Slot]]:
        """Lay the newcomers to their slots; gives the free ones and the slots with something new.

        A statement that has a slot anywhere has it everywhere, whichever was told first.
        """
        slotted = {_said(fact): fact for facts in self._slots.values() for fact in facts}
        slotted |= {_said(fact): fact for fact in newcomers if fact.slot is not None}
        free: list[Fact] = []
        touched: set[Slot] = set()
        moved = [fact for facts in self._free_to_adopt(slotted) for fact in facts]
        for fact in (*newcomers, *moved):
            model = slotted.get(_said(fact))
            adopted = fact if model is None else _adopt(fact, model)
            if adopted.slot is None:
                free.append(adopted)
            else:
                self._slots[adopted.slot].append(adopted)
                touched.add(adopted.slot)
        return free, touched

    def _free_to_adopt(self, slotted: Mapping[tuple[str, str], Fact]) -> Iterator[list[Fact]]:
        for key, members in list(self._free.items()):
            if any(_said(fact) in slotted for fact in members):
                yield self._free.pop(key)

    def _arrange_slot(self, slot: Slot, fresh: set[FactId]) -> None:
        facts = self._slots[slot]
        if slot.member is None:
            groups = arrange(facts, self._relations, self._policies.slot.recent)
        else:
            groups = arrange_member(facts, self._relations)
        self._house(groups, fresh)

    def _file_free(self, newcomers: Sequence[Fact], fresh: set[FactId]) -> None:
        clusters = Clusters(self._relations)
        for members in self._free.values():
            clusters.put(members)
        clusters.file(newcomers)
        self._house(clusters.touched(), fresh)

    # ---- where a group lives ------------------------------------------------------------------

    def _house(self, groups: Sequence[Group], fresh: set[FactId]) -> None:
        """Give each group its memory; a memory that is left without a group is merged."""
        origins = {fact.id: self._origins.get(fact.id) for group in groups for fact in group.facts}
        known = {fact: key for fact, key in origins.items() if key is not None}
        rows = assign_rows(groups, known, self._before.keys(), self._after.keys())
        for group in groups:
            memory = compose(group, rows[group], self._relations.vector_of(group.leader.statement))
            successor = rows[group.successor] if group.successor else None
            memory = close(memory, group.ended_at, successor)
            self._after[memory.id] = self._continue(memory, group, fresh)
        homes = {fact.id: rows[group] for group in groups for fact in group.facts}
        for key in sorted(set(known.values()) - self._after.keys()):
            self._after[key] = self._give_up(key, homes)
        self._settle(groups, rows, fresh)

    def _continue(self, memory: Memory, group: Group, fresh: set[FactId]) -> Memory:
        """The memory in its stored scope and version, if it was stored.

        It is pinned if anything that went into it was. One that was evicted comes back when it is
        said again.
        """
        origins = {self._origins[fact.id] for fact in group.facts if fact.id in self._origins}
        memory = replace(memory, pinned=any(self._before[key].pinned for key in origins))
        before = self._before.get(memory.id)
        if before is None:
            return memory
        is_news = any(fact.id in fresh for fact in group.facts)
        return replace(
            memory,
            scope=before.scope,
            version=before.version,
            pinned=memory.pinned or before.pinned,
            evicted_at=None if is_news else before.evicted_at,
        )

    def _give_up(self, key: MemoryId, homes: Mapping[FactId, MemoryId]) -> Memory:
        before = self._before[key]
        first = next(fact for fact, origin in self._origins.items() if origin == key)
        return replace(
            before,
            state=MemoryState.MERGED,
            valid_to=None,
            superseded_by=homes.get(first),
            evidence=(),
        )

    def _settle(
        self, groups: Sequence[Group], rows: Mapping[Group, MemoryId], fresh: set[FactId]
    ) -> None:
        for group in groups:
            for fact in group.facts:
                has_moved = self._origins.get(fact.id) != rows[group]
                if fact.id in fresh or (has_moved and fact.id not in self._stand_ins):
                    is_first = rows[group] == memory_id(fact.id)
                    outcome = FactOutcome.INSERTED if is_first else FactOutcome.REINFORCED
                    self._settled[fact.id] = Settlement(outcome, rows[group])

    # ---- what that changes --------------------------------------------------------------------

    def _changes(self) -> list[Change]:
        changes: list[Change] = []
        for key, after in self._after.items():
            before = self._before.get(key)
            if before is None:
                changes.append(Insert(after))
            elif not _is_equal(before, after):
                changes.append(_change(before, replace(after, version=before.version + 1)))
        return changes

    def _scope_changes(self) -> Iterator[Change]:
        for key, after in self._after.items():
            before = self._before.get(key)
            is_changed = before is None or not _is_equal(before, after)
            scope, reason = scope_of(after, self._policies.promotion)
            if scope is after.scope or after.state is MemoryState.MERGED:
                continue
            version = after.version + 1 + (before is not None and is_changed)
            moved = replace(after, scope=scope, version=version)
            if scope is Scope.SESSION:
                yield Demote(moved, after.scope, reason)
            else:
                yield Promote(moved, after.scope, reason)


def _said(fact: Fact) -> tuple[str, str]:
    return (fact.subject.casefold(), statement_key(fact.statement))


def _adopt(fact: Fact, model: Fact) -> Fact:
    """The fact with the slot of the one that says the same, unless it has one itself."""
    if fact.slot is not None:
        return fact
    return replace(fact, slot=model.slot, value=model.value, ends=model.ends)


def _stand_in(memory: Memory) -> Fact:
    """The memory as one fact, where its own facts are not needed one by one."""
    return Fact(
        id=FactId(memory.id),
        transcript_id=memory.evidence[0].transcript_id,
        owner=memory.owner,
        session_id=memory.session_id,
        ordinal=-1,
        statement=memory.statement,
        subject=memory.subject,
        kind=memory.kind,
        importance=memory.importance,
        event_at=memory.valid_from,
        evidence=memory.evidence,
        distilled_by=memory.distilled_by,
        slot=memory.slot,
        value=memory.value,
        ends=memory.ends,
    )


def _is_equal(before: Memory, after: Memory) -> bool:
    """Whether nothing is different; in which order evidence is read does not matter."""
    same_evidence = set(before.evidence) == set(after.evidence)
    return same_evidence and replace(after, evidence=before.evidence) == before


def _change(before: Memory, after: Memory) -> Change:
    released = _missing(after.evidence, before.evidence)
    added = _missing(before.evidence, after.evidence)
    if after.state is MemoryState.ACTIVE and before.state is not MemoryState.ACTIVE:
        return Restore(after, released, added)
    if released:
        return Refile(after, released, added)
    if added and before.state is after.state:
        return Reinforce(after, added)
    if before.state is MemoryState.ACTIVE and after.state is MemoryState.SUPERSEDED:
        return Supersede(after, added)
    return Refile(after, (), added)


def _missing(present: Iterable[Evidence], offered: Iterable[Evidence]) -> tuple[Evidence, ...]:
    known = set(present)
    return tuple(item for item in offered if item not in known)
