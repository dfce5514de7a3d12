"""The outbox in memory, under the same contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.model import EVERYONE
from pipelines.ports import IndexPoint, Projection, Removal
from pipelines.stages.passage import places_around, read_passages
from pipelines.testing.tables import InMemoryTables

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from pipelines.model import Memory, MemoryId
    from pipelines.testing.tables import OutboxRow


class InMemoryOutbox(InMemoryTables):
    """``Outbox`` over shared rows."""

    __slots__ = ()

    def take(self, limit: int, now: datetime, lease: timedelta) -> Projection:
        with self._lock:
            due = {key: row for key, row in self._outbox.items() if row.is_due(now)}
            fresh = [key for key, row in due.items() if not row.attempts]
            taken = fresh[:limit] or list(due)[:1]
            tickets = tuple(self._outbox[key].lease(key, now + lease) for key in taken)
            rows = {key: self._memories.get(key) for key in taken}
        indexed = [row for row in rows.values() if row and row.is_indexed]
        removals = tuple(
            Removal(key, row.version if row else None)
            for key, row in rows.items()
            if not row or not row.is_indexed
        )
        return Projection(tuple(map(self._as_point, indexed)), removals, tickets)

    def tick_off(self, projection: Projection) -> None:
        with self._lock:
            for key, change, row in self._held_rows(projection):
                row.lease_until = None
                if row.change == change:
                    del self._outbox[key]

    def give_back(
        self, projection: Projection, due_at: datetime, error: str, *, is_counted: bool
    ) -> None:
        with self._lock:
            for _, _, row in self._held_rows(projection):
                row.lease_until, row.due_at, row.last_error = None, due_at, error
                row.attempts -= not is_counted

    def _held_rows(self, projection: Projection) -> Iterable[tuple[MemoryId, int, OutboxRow]]:
        for ticket in projection.tickets:
            row = self._outbox.get(ticket.memory_id)
            if row is not None and row.fence == ticket.fence:
                yield ticket.memory_id, ticket.change, row

    def refill(self, now: datetime) -> int:
        with self._lock:
            indexed = [key for key, row in self._memories.items() if row.is_indexed]
            added = [key for key in indexed if key not in self._outbox]
            self._enqueue(added, now)
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
