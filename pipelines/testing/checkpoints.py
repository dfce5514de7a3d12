"""Checkpoints in memory, behind one lock, under the same contract."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.errors import CheckpointConflict, IdempotencyConflict
from pipelines.ports import HotState, Saved, Surplus, ThreadShown
from pipelines.stages.checkpoints.chain import NEWEST, Checkpoint, CheckpointId, Link, Thread

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from pipelines.model import Owner
    from pipelines.ports import CheckpointDraft, Subject


class InMemoryCheckpoints:
    """``CheckpointStore`` over lists of links; ``erase`` stands for an erasure that was begun.

    Attributes:
        links: What is stored of each thread; tests may damage it.
        loads: Chains that were read.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._erased: dict[Owner, datetime] = {}
        self.links: dict[Thread, list[Link]] = defaultdict(list)
        self.loads = 0

    def erase(self, owner: Owner, at: datetime) -> None:
        """Remove all of an owner."""
        with self._lock:
            self._erased[owner] = at
            for thread in [thread for thread in self.links if thread.owner == owner]:
                del self.links[thread]

    def append(self, draft: CheckpointDraft, max_depth: int) -> Saved:
        with self._lock:
            links = self.links[draft.thread]
            erased_at = self._erased.get(draft.thread.owner)
            if erased_at is not None and draft.begun_at <= erased_at:
                raise CheckpointConflict("what belongs to this user was erased; nothing was saved")
            for link in links:
                if link.checkpoint.id == draft.id:
                    return _same(draft, link.checkpoint)
            newest = links[-1].checkpoint if links else None
            found = None if newest is None else newest.id
            if draft.parent not in {NEWEST, found}:
                raise CheckpointConflict(f"the newest checkpoint is {found}", found)
            fits = (
                draft.delta is not None
                and newest is not None
                and (draft.base, draft.base_sha256) == (newest.id, newest.sha256)
                and _depth(links) < max_depth
            )
            link = _link(draft, newest, is_delta=fits)
            links.append(link)
            return Saved(link.checkpoint)

    def load_newest(self, thread: Thread, known: CheckpointId | None) -> Sequence[Link]:
        with self._lock:
            links = self.links[thread]
            if links and links[-1].checkpoint.id == known:
                return [replace(links[-1], content=b"")]
            return self._chain(links)

    def load_chain(self, thread: Thread, key: CheckpointId) -> Sequence[Link]:
        with self._lock:
            ids = [link.checkpoint.id for link in self.links[thread]]
            return self._chain(self.links[thread][: ids.index(key) + 1]) if key in ids else []

    def load_before(self, thread: Thread, sequence: int) -> Sequence[Link]:
        with self._lock:
            links = self.links[thread]
            return self._chain([link for link in links if link.checkpoint.sequence < sequence])

    def list_newest(
        self, thread: Thread, limit: int, before: int | None = None
    ) -> Sequence[Checkpoint]:
        with self._lock:
            found = [link.checkpoint for link in reversed(self.links[thread])]
        return [item for item in found if before is None or item.sequence < before][:limit]

    def list_threads(
        self, tenant_id: str, user_id: str | None, after: Thread | None, limit: int
    ) -> Sequence[ThreadShown]:
        with self._lock:
            return [
                _shown(thread, self.links[thread])
                for thread in self._threads(after)
                if thread.owner.tenant_id == tenant_id and user_id in {None, thread.owner.user_id}
            ][:limit]

    def find_surplus(
        self, after: Thread | None, keep: int, cutoff: datetime, limit: int
    ) -> Sequence[Thread]:
        with self._lock:
            return [
                thread
                for thread in self._threads(after)
                if len(self.links[thread]) > keep
                or any(link.checkpoint.saved_at < cutoff for link in self.links[thread])
            ][:limit]

    def count_surplus(self, thread: Thread, below: int) -> Surplus:
        with self._lock:
            found = [
                link.checkpoint for link in self.links[thread] if link.checkpoint.sequence < below
            ]
        first = found[0].sequence if found else below
        return Surplus(first, len(found), sum(item.stored for item in found))

    def trim(self, thread: Thread, below: int, state: bytes | None) -> int:
        with self._lock:
            links = self.links[thread]
            kept = [link for link in links if link.checkpoint.sequence >= below]
            if kept and kept[0].checkpoint.sequence != below:
                return 0
            if not kept and [below - 1] != [link.checkpoint.sequence for link in links[-1:]]:
                return 0
            if kept and kept[0].base is not None:
                if state is None:
                    return 0
                shown = replace(kept[0].checkpoint, is_delta=False, stored=len(state))
                kept[0] = Link(shown, None, state)
            self.links[thread] = kept
            return len(links) - len(kept)

    def _chain(self, links: Sequence[Link]) -> Sequence[Link]:
        self.loads += 1
        full = [place for place, link in enumerate(links) if link.base is None]
        return links[full[-1] :] if full else []

    def _threads(self, after: Thread | None) -> list[Thread]:
        filled = sorted(thread for thread, links in self.links.items() if links)
        return [thread for thread in filled if after is None or thread > after]


class InMemoryHotCheckpoints:
    """``HotCheckpoints`` over a dictionary; what it lives by is not counted.

    Attributes:
        kept: What is there, which tests may change or lose.
    """

    name = "hot checkpoints"

    def __init__(self) -> None:
        self.kept: dict[Thread, HotState] = {}

    def find(self, thread: Thread, ttl: timedelta) -> HotState | None:
        del ttl
        return self.kept.get(thread)

    def keep(self, thread: Thread, hot: HotState, ttl: timedelta) -> None:
        del ttl
        self.kept[thread] = hot

    def remove(self, subject: Subject, until: datetime) -> int:
        found = self._of(subject, until)
        for thread in found:
            del self.kept[thread]
        return len(found)

    def count(self, subject: Subject, until: datetime) -> int:
        return len(self._of(subject, until))

    def _of(self, subject: Subject, until: datetime) -> list[Thread]:
        return [
            thread
            for thread, hot in self.kept.items()
            if thread.owner == subject.owner
            and subject.session_id in {None, thread.id}
            and hot.saved_at <= until
        ]


def _depth(links: Sequence[Link]) -> int:
    return next(depth for depth, link in enumerate(reversed(links)) if link.base is None)


def _same(draft: CheckpointDraft, known: Checkpoint) -> Saved:
    origin = None if draft.origin is None else draft.origin.thread.id
    told = (draft.sha256, draft.node, draft.metadata, origin)
    if told != (known.sha256, known.node, known.metadata, known.origin):
        raise IdempotencyConflict("id", "was used before for another checkpoint")
    return Saved(known, is_duplicate=True)


def _link(draft: CheckpointDraft, newest: Checkpoint | None, *, is_delta: bool) -> Link:
    parent = newest.id if newest else None
    content = draft.delta if is_delta and draft.delta is not None else draft.state
    checkpoint = Checkpoint(
        id=draft.id,
        thread=draft.thread,
        parent=parent if draft.origin is None else draft.origin.id,
        origin=None if draft.origin is None else draft.origin.thread.id,
        sequence=newest.sequence + 1 if newest else 1,
        node=draft.node,
        metadata=draft.metadata,
        sha256=draft.sha256,
        size=len(draft.state),
        stored=len(content),
        is_delta=is_delta,
        saved_at=draft.begun_at,
    )
    return Link(checkpoint, draft.base if is_delta else None, content)


def _shown(thread: Thread, links: Sequence[Link]) -> ThreadShown:
    newest = links[-1].checkpoint
    stored = sum(link.checkpoint.stored for link in links)
    return ThreadShown(thread, newest.id, newest.sequence, len(links), stored, newest.saved_at)
