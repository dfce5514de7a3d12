"""A group of facts that are one memory, and the memory that they make."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.model import Memory, MemoryId, MemoryState, Scope, memory_id

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from pipelines.model import Evidence, Fact, FactId, ReceiptId, Vector


@dataclass(eq=False, slots=True)
class Group:
    """Facts that say one thing, in their order; the first one words it.

    Attributes:
        successor: The group that closes its interval, if it does not hold any more.
        ended_at: When it ceased to hold.
    """

    facts: list[Fact]
    successor: Group | None = None
    ended_at: datetime | None = None

    @property
    def leader(self) -> Fact:
        """Whoever said it first."""
        return self.facts[0]


def assign_rows(
    groups: Sequence[Group],
    origins: Mapping[FactId, MemoryId],
    stored: Collection[MemoryId],
    taken: Collection[MemoryId],
) -> dict[Group, MemoryId]:
    """Give each group a memory, and keep to those that there are: ids outlive rearrangements.

    A group takes the memory that its leader once began, else the one whose first fact is in it,
    else a new one.

    Args:
        groups: In the order of their leaders.
        origins: The memory in which a fact was until now.
        stored: The memories that exist.
        taken: Those of them that belong to other groups.
    """
    rows: dict[Group, MemoryId] = {}
    used = set(taken)
    for group in groups:
        own = memory_id(group.leader.id)
        if own in stored and own not in used:
            rows[group] = own
            used.add(own)
    founders = _founders(groups, origins)
    for group in groups:
        if group not in rows:
            kept = (founders.get(fact.id) for fact in group.facts)
            row = next((key for key in kept if key is not None and key not in used), None)
            rows[group] = row or _unused(memory_id(group.leader.id), used)
            used.add(rows[group])
    return rows


def _founders(
    groups: Sequence[Group], origins: Mapping[FactId, MemoryId]
) -> dict[FactId, MemoryId]:
    """For each memory the first of the facts that were in it."""
    facts = sorted((fact for group in groups for fact in group.facts), key=lambda fact: fact.order)
    first: dict[MemoryId, FactId] = {}
    for fact in facts:
        if fact.id in origins:
            first.setdefault(origins[fact.id], fact.id)
    return {fact: row for row, fact in first.items()}


def _unused(key: MemoryId, used: Collection[MemoryId]) -> MemoryId:
    while key in used:
        key = MemoryId(uuid.uuid5(key, "another"))
    return key


def compose(group: Group, key: MemoryId, vector: Vector) -> Memory:
    """The memory that a group makes, as if nothing had been stored: version 1, session scope."""
    leader = group.leader
    evidence = _joined_evidence(group.facts)
    return Memory(
        id=key,
        owner=leader.owner,
        scope=Scope.SESSION,
        session_id=leader.session_id,
        statement=leader.statement,
        subject=leader.subject,
        kind=leader.kind,
        importance=max(fact.importance for fact in group.facts),
        valid_from=leader.event_at,
        confirmed_at=max(item.event_at for item in evidence),
        evidence=evidence,
        vector=vector,
        slot=leader.slot,
        value=leader.value,
        distilled_by=leader.distilled_by,
        ends=leader.ends,
    )


def _joined_evidence(facts: Sequence[Fact]) -> tuple[Evidence, ...]:
    """All evidence in the order of the facts; one quote of one message counts once."""
    found: dict[tuple[ReceiptId, int, str], Evidence] = {}
    for fact in facts:
        for item in fact.evidence:
            found.setdefault((item.transcript_id, item.message_index, item.quote), item)
    return tuple(found.values())


def close(memory: Memory, ended_at: datetime | None, successor: MemoryId | None) -> Memory:
    """The memory with its interval closed, or open if nothing ended it."""
    state = MemoryState.ACTIVE if ended_at is None else MemoryState.SUPERSEDED
    return replace(memory, state=state, valid_to=ended_at, superseded_by=successor)
