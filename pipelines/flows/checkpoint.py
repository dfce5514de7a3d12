"""Checkpoints: saved in one transaction, handed out only if they are what was saved.

PostgreSQL says which checkpoint is the newest; Redis only spares reading and rebuilding it. So a
hot entry that is lost, late or wrong costs time and never changes an answer.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import DamagedCheckpoint, InputError, NewerFormat, NotFound
from pipelines.ports import CheckpointDraft, HotState
from pipelines.stages.checkpoints.canonical import NotJson, canonical_json, digest
from pipelines.stages.checkpoints.chain import (
    NEWEST,
    Checkpoint,
    CheckpointId,
    Sound,
    find_sound,
    rebuild,
)
from pipelines.stages.checkpoints.delta import make_delta

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from config.checkpoints import CheckpointPolicy
    from pipelines.ports import CheckpointStore, Clock, HotCheckpoints, Saved
    from pipelines.stages.checkpoints.chain import Link, Parent, Thread

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NewCheckpoint:
    """What an agent hands over.

    Attributes:
        parent: What must be the newest checkpoint of the thread; None where it must have none;
            ``NEWEST`` for whatever is.
        id: Whoever repeats a save repeats its id; one is made up if it is left out.
    """

    thread: Thread
    state: object
    node: str | None = None
    metadata: Mapping[str, object] | None = None
    parent: Parent = NEWEST
    id: CheckpointId | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint with its state.

    Attributes:
        state: Canonical JSON, as its hash says.
        newest: The newest of the thread, which the next one follows; None where that was not
            asked for.
    """

    checkpoint: Checkpoint
    state: bytes
    newest: CheckpointId | None


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """Saves, loads and forks."""

    store: CheckpointStore
    hot: HotCheckpoints
    clock: Clock
    policy: CheckpointPolicy

    def save(self, new: NewCheckpoint) -> Saved:
        """Save a state; the same save again is the same checkpoint.

        Raises:
            InputError: The state is no JSON, or too large.
            CheckpointConflict: The parent is not the newest checkpoint any more.
            IdempotencyConflict: The id was used before for something else.
            StoreUnavailable: It is not known whether it was saved: repeat it with its id.
        """
        draft = self._draft(new)
        before = self._look(new.thread)
        if before is not None and new.parent in {NEWEST, before.id}:
            delta = make_delta(before.state, draft.state, self.policy)
            known = digest(before.state)
            draft = replace(draft, base=before.id, base_sha256=known, delta=delta)
        return self._append(draft)

    def load(
        self, thread: Thread, key: CheckpointId | None = None, *, sound: bool = False
    ) -> Loaded:
        """The newest checkpoint of a thread, or the one named.

        Args:
            thread: Whose.
            key: Which one.
            sound: Instead of one that is damaged take the newest sound one before it.

        Raises:
            NotFound: The thread has no such checkpoint.
            DamagedCheckpoint: It is not what was saved.
            NewerFormat: A newer release saved it.
        """
        if key is None:
            return self._load_newest(thread, sound=sound)
        chain = self.store.load_chain(thread, key)
        if not chain:
            raise NotFound(f"the thread has no checkpoint {key}: it may have been cleaned up")
        return self._open(chain, None, sound=sound)

    def fork(
        self,
        source: Thread,
        key: CheckpointId | None,
        thread_id: str,
        new_id: CheckpointId | None = None,
    ) -> Saved:
        """Begin a thread of the same user with the state of a checkpoint; it rests on nothing.

        Raises:
            NotFound: There is no such checkpoint.
            DamagedCheckpoint: It is not what was saved.
            CheckpointConflict: The other thread has begun already.
            InputError: It is the same thread.
        """
        if thread_id == source.id:
            raise InputError("to_thread_id", "is the thread itself; name another one")
        origin = self.load(source, key)
        shown = origin.checkpoint
        return self._append(
            CheckpointDraft(
                id=new_id or CheckpointId(uuid.uuid4()),
                thread=replace(source, id=thread_id),
                parent=None,
                node=shown.node,
                metadata=shown.metadata,
                state=origin.state,
                sha256=shown.sha256,
                begun_at=self.clock.now(),
                origin=shown,
            )
        )

    # ---- saving -------------------------------------------------------------------------------

    def _draft(self, new: NewCheckpoint) -> CheckpointDraft:
        begun_at = self.clock.now()
        state = _spell("state", new.state, self.policy.max_bytes)
        metadata = _spell("metadata", new.metadata or {}, self.policy.max_metadata_bytes)
        return CheckpointDraft(
            id=new.id or CheckpointId(uuid.uuid4()),
            thread=new.thread,
            parent=new.parent,
            node=new.node,
            metadata=metadata.decode(),
            state=state,
            sha256=digest(state),
            begun_at=begun_at,
        )

    def _look(self, thread: Thread) -> HotState | None:
        """What the newest state most likely is; the store has the last word."""
        hot = self.hot.find(thread, self.policy.hot)
        if hot is not None:
            return hot
        try:
            chain = self.store.load_newest(thread, None)
        except NewerFormat:
            # It rests on nothing that is not known here.
            return None
        state = rebuild(chain) if chain else None
        if state is None:
            return None
        return HotState(chain[-1].checkpoint.id, state, chain[-1].checkpoint.saved_at)

    def _append(self, draft: CheckpointDraft) -> Saved:
        saved = self.store.append(draft, self.policy.max_depth)
        shown = saved.checkpoint
        if not saved.is_duplicate:
            hot = HotState(shown.id, draft.state, shown.saved_at)
            self.hot.keep(draft.thread, hot, self.policy.hot)
        log.debug("checkpoint_saved", checkpoint=str(shown.id), stored_bytes=shown.stored)
        return saved

    # ---- loading ------------------------------------------------------------------------------

    def _load_newest(self, thread: Thread, *, sound: bool) -> Loaded:
        hot = self.hot.find(thread, self.policy.hot)
        chain = self._find_newest(thread, hot)
        newest = chain[-1].checkpoint
        if hot is not None and hot.id == newest.id:
            if digest(hot.state) == newest.sha256:
                return Loaded(newest, hot.state, newest.id)
            chain = self._find_newest(thread, None)
            newest = chain[-1].checkpoint
        loaded = self._open(chain, newest.id, sound=sound)
        if loaded.checkpoint.id == newest.id:
            kept = HotState(newest.id, loaded.state, newest.saved_at)
            self.hot.keep(thread, kept, self.policy.hot)
        return loaded

    def _find_newest(self, thread: Thread, hot: HotState | None) -> Sequence[Link]:
        """What it takes to tell the newest state; only its head where that is at hand."""
        chain = self.store.load_newest(thread, None if hot is None else hot.id)
        if not chain:
            raise NotFound("the thread has no checkpoint: nothing was saved, or it was cleaned up")
        return chain

    def _open(self, chain: Sequence[Link], newest: CheckpointId | None, *, sound: bool) -> Loaded:
        wanted = chain[-1].checkpoint
        state = rebuild(chain)
        if state is not None:
            return Loaded(wanted, state, newest)
        log.error("checkpoint_damaged", checkpoint=str(wanted.id))
        found = self._find_sound(chain)
        if found is None or not sound:
            raise DamagedCheckpoint(wanted.id, found.checkpoint.id if found else None)
        return Loaded(found.checkpoint, found.state, newest)

    def _find_sound(self, chain: Sequence[Link]) -> Sound | None:
        while chain:
            found = find_sound(chain)
            if found is not None:
                return found
            first = chain[0].checkpoint
            chain = self.store.load_before(first.thread, first.sequence)
        return None


def _spell(field: str, value: object, limit: int) -> bytes:
    try:
        spelled = canonical_json(value)
    except NotJson as error:
        # Not where in it: the keys of a state are nobody's business.
        raise InputError(field, error.reason) from None
    if len(spelled) > limit:
        raise InputError(
            field,
            f"takes {len(spelled):,} bytes as JSON, of {limit:,} allowed; keep large things "
            "elsewhere, and only their names in here",
        )
    return spelled
