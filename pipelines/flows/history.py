"""Looking back: what became of a memory, and what held in its slot before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pipelines.model import Memory, MemoryId
    from pipelines.ports import MemoryEvent, MemoryStore


@dataclass(frozen=True, slots=True)
class Told:
    """A memory with its past.

    Attributes:
        timeline: All memories of its slot in the order in which they held, itself included;
            itself alone where it has no slot.
        events: What happened to it, the oldest first.
    """

    memory: Memory
    timeline: tuple[Memory, ...]
    events: tuple[MemoryEvent, ...]


@dataclass(frozen=True, slots=True)
class History:
    """Tells the history of a memory; writes nothing."""

    store: MemoryStore

    def run(self, tenant_id: str, key: MemoryId, user_id: str | None = None) -> Told:
        """Read it.

        Raises:
            NotFound: This tenant, or the user if one is named, has no such memory.
        """
        memory = self.store.find_memory(tenant_id, key, user_id)
        timeline = [memory]
        if memory.slot is not None:
            timeline = self.store.load_slot(memory.owner, memory.slot)
        ordered = sorted(timeline, key=lambda item: (item.valid_from, str(item.id)))
        return Told(memory, tuple(ordered), tuple(self.store.read_events(tenant_id, key)))
