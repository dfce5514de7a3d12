"""Checkpoints: where a running agent stands, so that it can go on after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memstill_client import checkpoint_calls as calls
from memstill_client.checkpoint_calls import NEWEST

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from uuid import UUID

    from memstill_client.checkpoint_calls import Parent
    from memstill_client.checkpoint_replies import (
        Checkpoint,
        CheckpointThread,
        CleanedCheckpoints,
        LoadedCheckpoint,
        SavedCheckpoint,
    )
    from memstill_client.endpoints import Endpoints
    from memstill_client.transports import AsyncTransport, Transport


class Checkpoints:
    """Saves and loads; ``Memstill.checkpoints`` is one."""

    def __init__(self, http: Transport, endpoints: Endpoints) -> None:
        self._http = http
        self._endpoints = endpoints

    def save(
        self,
        user_id: str,
        thread_id: str,
        state: object,
        *,
        node: str | None = None,
        metadata: Mapping[str, object] | None = None,
        parent: Parent = NEWEST,
        checkpoint_id: UUID | None = None,
    ) -> SavedCheckpoint:
        """Save a state behind the newest one of a thread; once it returns, it is kept.

        Args:
            user_id: Whose.
            thread_id: A line of checkpoints, named as you like; it begins with its first one.
            state: Any JSON, up to 10 MB; it is given back as it is.
            node: Where in its work the agent is.
            metadata: An object of your own, up to 16 kB, which ``history`` shows.
            parent: What must be the newest checkpoint of the thread; None where it must have
                none. Left out, whatever is there is followed.
            checkpoint_id: Of your own: a save that you repeat with it is one save. What this
                client repeats by itself is one save anyway.

        Raises:
            CheckpointConflict: The thread has another newest checkpoint; nothing was saved.
            Refused: The state is no JSON, or too large.
            Unavailable: It is not known whether it was saved: repeat it with the same id.
        """
        call = calls.save_call(
            user_id,
            thread_id,
            state,
            self._endpoints,
            node=node,
            metadata=metadata,
            parent=parent,
            checkpoint_id=checkpoint_id,
        )
        return self._http.ask(call)

    def load(
        self,
        user_id: str,
        thread_id: str,
        checkpoint_id: UUID | str | None = None,
        *,
        sound: bool = False,
    ) -> LoadedCheckpoint:
        """The newest checkpoint of a thread with its state, or the one named.

        Args:
            user_id: Whose.
            thread_id: Which thread.
            checkpoint_id: Which of its checkpoints.
            sound: Instead of one that is damaged take the newest sound one before it.

        Raises:
            NotFound: The thread has no such checkpoint, or none any more.
            DamagedCheckpoint: It is not what was saved; ``sound`` names one that is.
        """
        call = calls.load_call(user_id, thread_id, checkpoint_id, self._endpoints, sound=sound)
        return self._http.ask(call)

    def history(self, user_id: str, thread_id: str) -> Iterator[Checkpoint]:
        """The checkpoints that are kept of a thread, the newest first, without their states."""
        before: int | None = None
        while True:
            call = calls.history_call(user_id, thread_id, before, self._endpoints)
            page = self._http.ask(call)
            yield from page.checkpoints
            before = page.next
            if before is None:
                return

    def fork(
        self,
        user_id: str,
        thread_id: str,
        to_thread_id: str,
        checkpoint_id: UUID | str | None = None,
    ) -> SavedCheckpoint:
        """Begin a thread with the state of another one's newest checkpoint, or of the one named.

        Raises:
            NotFound: There is no such checkpoint.
            CheckpointConflict: The thread that is to begin has begun.
            DamagedCheckpoint: It is not what was saved.
        """
        call = calls.fork_call(user_id, thread_id, to_thread_id, checkpoint_id, self._endpoints)
        return self._http.ask(call)

    def threads(self, user_id: str | None = None) -> Iterator[CheckpointThread]:
        """The threads of a user, or of all users of the tenant."""
        after: CheckpointThread | None = None
        while True:
            page = self._http.ask(calls.threads_call(user_id, after, self._endpoints))
            yield from page.threads
            if page.next_thread_id is None:
                return
            after = page.threads[-1]

    def clean(self, *, dry_run: bool = False) -> CleanedCheckpoints:
        """Remove what has had its time, of all tenants, for one turn; or only count it."""
        return self._http.ask(calls.clean_call(self._endpoints, dry_run=dry_run))


class AsyncCheckpoints:
    """``Checkpoints``, to be awaited; ``AsyncMemstill.checkpoints`` is one."""

    def __init__(self, http: AsyncTransport, endpoints: Endpoints) -> None:
        self._http = http
        self._endpoints = endpoints

    async def save(
        self,
        user_id: str,
        thread_id: str,
        state: object,
        *,
        node: str | None = None,
        metadata: Mapping[str, object] | None = None,
        parent: Parent = NEWEST,
        checkpoint_id: UUID | None = None,
    ) -> SavedCheckpoint:
        """See ``Checkpoints.save``."""
        call = calls.save_call(
            user_id,
            thread_id,
            state,
            self._endpoints,
            node=node,
            metadata=metadata,
            parent=parent,
            checkpoint_id=checkpoint_id,
        )
        return await self._http.ask(call)

    async def load(
        self,
        user_id: str,
        thread_id: str,
        checkpoint_id: UUID | str | None = None,
        *,
        sound: bool = False,
    ) -> LoadedCheckpoint:
        """See ``Checkpoints.load``."""
        call = calls.load_call(user_id, thread_id, checkpoint_id, self._endpoints, sound=sound)
        return await self._http.ask(call)

    async def history(self, user_id: str, thread_id: str) -> AsyncIterator[Checkpoint]:
        """See ``Checkpoints.history``."""
        before: int | None = None
        while True:
            call = calls.history_call(user_id, thread_id, before, self._endpoints)
            page = await self._http.ask(call)
            for checkpoint in page.checkpoints:
                yield checkpoint
            before = page.next
            if before is None:
                return

    async def fork(
        self,
        user_id: str,
        thread_id: str,
        to_thread_id: str,
        checkpoint_id: UUID | str | None = None,
    ) -> SavedCheckpoint:
        """See ``Checkpoints.fork``."""
        call = calls.fork_call(user_id, thread_id, to_thread_id, checkpoint_id, self._endpoints)
        return await self._http.ask(call)

    async def threads(self, user_id: str | None = None) -> AsyncIterator[CheckpointThread]:
        """See ``Checkpoints.threads``."""
        after: CheckpointThread | None = None
        while True:
            page = await self._http.ask(calls.threads_call(user_id, after, self._endpoints))
            for thread in page.threads:
                yield thread
            if page.next_thread_id is None:
                return
            after = page.threads[-1]

    async def clean(self, *, dry_run: bool = False) -> CleanedCheckpoints:
        """See ``Checkpoints.clean``."""
        return await self._http.ask(calls.clean_call(self._endpoints, dry_run=dry_run))
