"""Restoring: a person says that a memory was retired or merged wrongly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import InputError, NotFound
from pipelines.model import MemoryState, Scope
from pipelines.stages.dedup import statement_key
from pipelines.stages.generation import Side, shadow_owner
from pipelines.stages.merging.relate import PERSON, Pair, Relation, said_in_memory

if TYPE_CHECKING:
    from pipelines.flows.consolidate import Consolidate
    from pipelines.model import Memory, MemoryId, Owner
    from pipelines.ports import (
        Clock,
        MemoryStore,
        OpenGenerations,
        PinStore,
        VerdictStore,
        Waker,
    )

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Restore:
    """Makes a memory current again, beside what had taken its place.

    The person's verdict on the two is stored, so that no later session and no judge retires the
    memory for the same reason again; then the user's facts are put together under it.
    """

    store: MemoryStore
    pins: PinStore
    verdicts: VerdictStore
    consolidate: Consolidate
    generations: OpenGenerations
    waker: Waker
    clock: Clock

    def run(self, tenant_id: str, key: MemoryId, user_id: str | None = None) -> Memory:
        """Restore it; what it was retired for stays current too.

        One that was evicted is told again.

        Raises:
            NotFound: This tenant, or the user if one is named, has no such memory.
            InputError: It is current already, or it ended by its own word.
            OwnerBusy: Another worker holds the user right now.
        """
        memory = self.store.find_memory(tenant_id, key, user_id)
        if memory.evicted_at is not None:
            self.pins.bring_back(tenant_id, key, self.clock.now())
            self.waker.wake_index()
            log.info("memory_brought_back", memory=str(key))
            if memory.state is MemoryState.ACTIVE:
                return self.store.find_memory(tenant_id, key)
        successor = self._successor_of(memory)
        pair = _pair(memory, successor)
        self.verdicts.keep_verdicts(
            memory.owner, {pair.key: Relation.BOTH}, PERSON, self.clock.now()
        )
        for owner in self._shadows(memory.owner):
            self._rearrange_likes(owner, memory, successor)
        self.consolidate.rearrange(memory.owner, [memory.id, successor.id])
        log.info("memory_restored", memory=str(key))
        return self.store.find_memory(tenant_id, key)

    def _shadows(self, live: Owner) -> list[Owner]:
        """Where the user is known beside what is live: a verdict holds there, too."""
        try:
            generation = self.generations.find_generation(live.tenant_id)
        except NotFound:
            return []
        return [shadow_owner(live, generation.id, side) for side in Side]

    def _rearrange_likes(self, owner: Owner, memory: Memory, successor: Memory) -> None:
        statements = {memory.statement, successor.statement}
        slots = {item.slot for item in (memory, successor) if item.slot is not None}
        found = self.store.find_candidates(owner, statements, slots)
        keys = set(map(statement_key, statements))
        likes = [item.id for item in found if statement_key(item.statement) in keys]
        if likes:
            self.consolidate.rearrange(owner, likes)

    def _successor_of(self, memory: Memory) -> Memory:
        if memory.scope is Scope.GLOBAL:
            raise InputError("memory", "is everyone's; approve it again with memstill promote")
        if memory.state is MemoryState.ACTIVE or memory.superseded_by is None:
            raise InputError("memory", "is current already; there is nothing to restore")
        successor = self.store.find_memory(memory.owner.tenant_id, memory.superseded_by)
        if successor.ends:
            raise InputError(
                "memory", "ended because its subject said so; say in a session that it holds again"
            )
        return successor


def _pair(memory: Memory, successor: Memory) -> Pair:
    earlier, later = sorted(
        (said_in_memory(memory), said_in_memory(successor)), key=lambda said: said.at
    )
    return Pair(earlier, later, 0.0)
