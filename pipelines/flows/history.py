"""Looking back: what became of a memory, and what held in its slot before and after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.errors import NotFound
from pipelines.model import Owner
from pipelines.stages.event_log import GONE, Entry, fold, to_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.model import Memory, MemoryId
    from pipelines.ports import MemoryEvent, MemoryStore


@dataclass(frozen=True, slots=True)
class Told:
    """A memory with its past.

    Attributes:
        memory: As it is; one that was purged as it was last.
        timeline: All memories of its slot in the order in which they held, itself included;
            itself alone where it has no slot, or is gone.
        events: What happened to it, the oldest first; nothing is told of what was erased.
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
            NotFound: This tenant, or the user if one is named, has no such memory, and never had.
        """
        events = [item for item in self.store.read_events(tenant_id, key) if "memory" in item.body]
        try:
            memory = self.store.find_memory(tenant_id, key, user_id)
        except NotFound:
            gone = _recollect(tenant_id, key, events)
            if gone is None or user_id not in {None, gone.owner.user_id}:
                raise
            return Told(gone, (gone,), tuple(events))
        timeline = [memory]
        if memory.slot is not None:
            timeline = self.store.load_slot(memory.owner, memory.slot)
        ordered = sorted(timeline, key=lambda item: (item.valid_from, str(item.id)))
        return Told(memory, tuple(ordered), tuple(events))


def _recollect(tenant_id: str, key: MemoryId, events: Sequence[MemoryEvent]) -> Memory | None:
    """A memory that was purged, as its events tell it; None where they do not."""
    entries = [Entry(key, item.name, item.body) for item in events if item.name not in GONE]
    known = fold(entries).get(key)
    if known is None:
        return None
    user_id = next(item.body["memory"]["user_id"] for item in events if _is_whole(item))
    return to_memory(key, Owner(tenant_id, user_id), known, None)


def _is_whole(event: MemoryEvent) -> bool:
    return "user_id" in event.body["memory"]
