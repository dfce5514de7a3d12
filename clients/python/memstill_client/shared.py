"""One client for the process, made at the first call: what the module's functions use."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from typing import TYPE_CHECKING

from memstill_client.sync import Memstill

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date
    from typing import Unpack

    from memstill_client.pushes import Pushable, TranscriptFields
    from memstill_client.recalls import Recall
    from memstill_client.replies import Receipt
    from memstill_client.wire import LaneName


class _Shared:
    """Holds the client; a forked child makes its own, because connections cannot be shared."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._lock = threading.Lock()
        self._client: Memstill | None = None

    def client(self) -> Memstill:
        with self._lock:
            if self._client is None:
                self._client = Memstill()
            return self._client

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()


_shared = _Shared()
atexit.register(_shared.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_shared.forget)


def enqueue(
    transcript: Pushable | None = None,
    /,
    *,
    lane: LaneName = "interactive",
    **fields: Unpack[TranscriptFields],
) -> Receipt:
    """Push one finished conversation: see ``Memstill.enqueue``."""
    return _shared.client().enqueue(transcript, lane=lane, **fields)


def recall(
    query: str,
    user_id: str,
    session_id: str | None = None,
    *,
    max_memories: int | None = None,
    max_tokens: int | None = None,
    as_of: date | str | None = None,
    tiers: Iterable[str] | None = None,
) -> Recall:
    """What is known of the user that helps with the query: see ``Memstill.recall``."""
    return _shared.client().recall(
        query,
        user_id,
        session_id,
        max_memories=max_memories,
        max_tokens=max_tokens,
        as_of=as_of,
        tiers=tiers,
    )


async def aenqueue(
    transcript: Pushable | None = None,
    /,
    *,
    lane: LaneName = "interactive",
    **fields: Unpack[TranscriptFields],
) -> Receipt:
    """``enqueue`` in a thread, so that the event loop goes on."""
    return await asyncio.to_thread(enqueue, transcript, lane=lane, **fields)


async def arecall(
    query: str,
    user_id: str,
    session_id: str | None = None,
    *,
    max_memories: int | None = None,
    max_tokens: int | None = None,
    as_of: date | str | None = None,
    tiers: Iterable[str] | None = None,
) -> Recall:
    """``recall`` in a thread, so that the event loop goes on."""
    return await asyncio.to_thread(
        recall,
        query,
        user_id,
        session_id,
        max_memories=max_memories,
        max_tokens=max_tokens,
        as_of=as_of,
        tiers=tiers,
    )


def close() -> None:
    """Close the shared client; the next call makes a new one from the environment."""
    _shared.close()
