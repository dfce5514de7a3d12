"""Profiles on their way into the index, and back into what recall tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import BadReply, BudgetExceeded, DependencyUnavailable, ModelRefused

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime, timedelta

    from pipelines.model import Memory, MemoryId, Owner, Vector
    from pipelines.ports import (
        Clock,
        Embedder,
        MemoryLoader,
        Outbox,
        ProfileStore,
        Projection,
    )
    from pipelines.stages.profile import ProfileEntry

log = structlog.get_logger(__name__)

AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class EmbeddingOutbox:
    """An outbox that first has entries embedded: a database trigger can not."""

    outbox: Outbox
    profiles: ProfileStore
    embedder: Embedder
    clock: Clock

    def take(self, limit: int, now: datetime, lease: timedelta) -> Projection:
        """See ``Outbox``; an embedder that is away holds up no memory."""
        try:
            self._embed()
        except (BadReply, BudgetExceeded, DependencyUnavailable, ModelRefused) as error:
            log.warning("profiles_not_embedded", error=type(error).__name__)
        return self.outbox.take(limit, now, lease)

    def tick_off(self, projection: Projection) -> None:
        """See ``Outbox``."""
        self.outbox.tick_off(projection)

    def give_back(
        self, projection: Projection, due_at: datetime, error: str, *, is_counted: bool
    ) -> None:
        """See ``Outbox``."""
        self.outbox.give_back(projection, due_at, error, is_counted=is_counted)

    def refill(self, now: datetime) -> int:
        """See ``Outbox``."""
        return self.outbox.refill(now)

    def _embed(self) -> None:
        entries = self.profiles.find_unembedded(AT_ONCE)
        if not entries:
            return
        try:
            vectors = self.embedder.embed([entry.statement for entry in entries])
        except ModelRefused:
            pairs = [(entry, self._embed_alone(entry)) for entry in entries]
        else:
            pairs = list(zip(entries, vectors, strict=True))
        self.profiles.keep_vectors(pairs, self.clock.now())
        log.info("profiles_embedded", entries=len(pairs))

    def _embed_alone(self, entry: ProfileEntry) -> Vector:
        """One of them is to blame: a value that is refused is found by what it is about."""
        try:
            return self.embedder.embed([entry.statement])[0]
        except ModelRefused:
            log.warning("profile_entry_refused", entry=str(entry.id))
            return self.embedder.embed(["User's profile"])[0]


@dataclass(frozen=True, slots=True)
class Hydration:
    """What recall may tell: memories, and entries of the user's profile."""

    memories: MemoryLoader
    profiles: ProfileStore

    def load_memories(self, owner: Owner, ids: Collection[MemoryId]) -> list[Memory]:
        """Those of the ids that are this owner's; no order."""
        found = self.memories.load_memories(owner, ids)
        missing = set(ids).difference(memory.id for memory in found)
        return found + self.profiles.load_entries(owner, missing)
