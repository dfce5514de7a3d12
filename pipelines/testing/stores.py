"""Inbox, memories, outbox and work table over the same rows in memory."""

from __future__ import annotations

from pipelines.testing.backfill import InMemoryBackfill
from pipelines.testing.inbox import InMemoryInbox
from pipelines.testing.memories import InMemoryMemories
from pipelines.testing.outbox import InMemoryOutbox
from pipelines.testing.work import InMemoryWorkTable


class InMemoryStores(
    InMemoryInbox, InMemoryBackfill, InMemoryMemories, InMemoryOutbox, InMemoryWorkTable
):
    """``Inbox``, ``MemoryStore``, ``Outbox`` and ``WorkTable`` in one, and what batches need."""

    __slots__ = ()
