"""Checkpoints of running agents: the truth of them, and the newest ones close at hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipelines.ports.erasures import SubjectCache

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from pipelines.stages.checkpoints.chain import Checkpoint, CheckpointId, Link, Parent, Thread


@dataclass(frozen=True, slots=True)
class CheckpointDraft:
    """A checkpoint that is to be saved.

    Attributes:
        parent: What must be the newest of the thread; ``NEWEST`` for whatever is.
        origin: What it is forked from; the thread must be empty then.
        state: Canonical JSON.
        metadata: Canonical JSON of an object.
        base: What the delta belongs to, and ``base_sha256`` the hash of the state that it was made
            from: where that is not the hash of ``base``, the delta leads somewhere else.
        delta: Stored instead of the state, if ``base`` is the newest then and its chain has room.
        begun_at: When the save began: the subject must not have been erased since.
    """

    id: CheckpointId
    thread: Thread
    parent: Parent
    node: str | None
    metadata: str
    state: bytes
    sha256: str
    begun_at: datetime
    origin: Checkpoint | None = None
    base: CheckpointId | None = None
    base_sha256: str | None = None
    delta: bytes | None = None


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of a draft.

    Attributes:
        is_duplicate: It was saved before; nothing was written.
    """

    checkpoint: Checkpoint
    is_duplicate: bool = False


@dataclass(frozen=True, slots=True)
class ThreadShown:
    """A thread of a user.

    Attributes:
        kept: So many checkpoints are there.
        stored: Bytes that their states and deltas take.
    """

    thread: Thread
    newest: CheckpointId
    sequence: int
    kept: int
    stored: int
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class Surplus:
    """What of a thread is to be removed.

    Attributes:
        first: Its first sequence.
        rows: Checkpoints to be removed.
        stored: Bytes that they take.
    """

    first: int
    rows: int
    stored: int


class CheckpointStore(Protocol):
    """Keeps checkpoints; a chain begins with a full snapshot and has no gap."""

    def append(self, draft: CheckpointDraft, max_depth: int) -> Saved:
        """Save a checkpoint behind the newest of its thread, one writer at a time.

        Args:
            draft: What is to be saved.
            max_depth: Deltas that may rest on one another.

        Raises:
            CheckpointConflict: Another one is the newest, or the subject is being erased.
            IdempotencyConflict: The id was used before for something else.
        """
        ...

    def load_newest(self, thread: Thread, known: CheckpointId | None) -> Sequence[Link]:
        """The chain of the newest checkpoint; empty where the thread has none.

        Args:
            thread: Whose.
            known: If that is the newest, only its link is given, without content.
        """
        ...

    def load_chain(self, thread: Thread, key: CheckpointId) -> Sequence[Link]:
        """The chain of a checkpoint; empty where the thread has no such."""
        ...

    def load_before(self, thread: Thread, sequence: int) -> Sequence[Link]:
        """The chain of the newest checkpoint before a sequence; empty where there is none."""
        ...

    def list_newest(
        self, thread: Thread, limit: int, before: int | None = None
    ) -> Sequence[Checkpoint]:
        """Checkpoints of a thread, the newest first, before a sequence if one is named."""
        ...

    def list_threads(
        self, tenant_id: str, user_id: str | None, after: Thread | None, limit: int
    ) -> Sequence[ThreadShown]:
        """Threads of a user, or of all users of a tenant, in the order of their names."""
        ...

    def find_surplus(
        self, after: Thread | None, keep: int, cutoff: datetime, limit: int
    ) -> Sequence[Thread]:
        """Threads of any tenant that have more than ``keep``, or any older than ``cutoff``.

        In the order of their names, from behind ``after`` on.
        """
        ...

    def count_surplus(self, thread: Thread, below: int) -> Surplus:
        """What a thread has below a sequence."""
        ...

    def trim(self, thread: Thread, below: int, state: bytes | None) -> int:
        """Remove what a thread has below a sequence; gives how many.

        In one transaction the checkpoint of that sequence becomes a full snapshot, so that all
        behind it rest on it. Nothing is done where that is not possible any more.

        Args:
            thread: Whose.
            below: A sequence of the thread; the one behind its newest to remove it as a whole,
                which is not done if that is not its newest any more.
            state: The state of that sequence; None where it needs none.
        """
        ...


@dataclass(frozen=True, slots=True)
class HotState:
    """The newest state of a thread, as far as whoever put it there knew."""

    id: CheckpointId
    state: bytes
    saved_at: datetime


class HotCheckpoints(SubjectCache, Protocol):
    """The newest states close at hand; whoever uses one asks the store whether it still is.

    What cannot be found or kept is no error: the store has it.
    """

    def find(self, thread: Thread, ttl: timedelta) -> HotState | None:
        """What is there; it then stays as long again."""
        ...

    def keep(self, thread: Thread, hot: HotState, ttl: timedelta) -> None:
        """Put it there."""
        ...
