"""The outbox in memory, under the same contract."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pipelines.model import EVERYONE
from pipelines.ports import INDEXED_STATES, IndexPoint, Projection, Removal
from pipelines.stages.passage import places_around, read_passages
from pipelines.testing.tables import InMemoryTables

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pipelines.model import Memory


class InMemoryOutbox(InMemoryTables):
    """``Outbox`` over shared rows."""

    __slots__ = ()

    @contextmanager
    def take(self, limit: int) -> Iterator[Projection]:
        with self._lock:
            waiting = list(self._outbox)[:limit]
            for key in waiting:
                del self._outbox[key]
            rows = [self._memories[key] for key in waiting]
        is_projected = False
        try:
            indexed = [row for row in rows if row.state in INDEXED_STATES]
            removals = tuple(
                Removal(row.id, row.version) for row in rows if row.state not in INDEXED_STATES
            )
            yield Projection(tuple(map(self._as_point, indexed)), removals)
            is_projected = True
        finally:
            if not is_projected:
                with self._lock:
                    self._outbox.update(dict.fromkeys(waiting))

    def refill(self, now: datetime) -> int:
        del now
        with self._lock:
            indexed = [key for key, row in self._memories.items() if row.state in INDEXED_STATES]
            added = [key for key in indexed if key not in self._outbox]
            self._outbox.update(dict.fromkeys(added))
        return len(added)

    def _as_point(self, memory: Memory) -> IndexPoint:
        passage = "" if memory.owner.user_id == EVERYONE else self._passage(memory)
        return IndexPoint(
            memory_id=memory.id,
            owner=memory.owner,
            scope=memory.scope,
            session_id=memory.session_id,
            version=memory.version,
            vector=memory.vector,
            text=f"{memory.statement} {passage}".strip(),
            state=memory.state,
            valid_from=memory.valid_from,
            valid_to=memory.valid_to,
        )

    def _passage(self, memory: Memory) -> str:
        places = places_around(memory.evidence, self.passages)
        with self._lock:
            said = {
                (receipt, message.index): message
                for receipt in {receipt for receipt, _ in places} & self._transcripts.keys()
                for message in self._transcripts[receipt].transcript.messages
            }
        return read_passages(memory.evidence, said, self.passages)
