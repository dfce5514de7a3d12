"""What the server answers about checkpoints."""

from datetime import datetime
from typing import Any
from uuid import UUID

from memstill_client.replies import Reply


class Checkpoint(Reply):
    """A position of an agent, without its state.

    Attributes:
        parent: The checkpoint before; of the thread ``origin`` where that is named.
        sequence: From 1 in each thread, without gaps.
        sha256: Of the state as canonical JSON, in hex.
        bytes: Size of that JSON; ``stored_bytes`` is what it takes.
    """

    id: UUID
    user_id: str
    thread_id: str
    parent: UUID | None
    origin: str | None = None
    sequence: int
    node: str | None
    metadata: dict[str, Any]
    sha256: str
    bytes: int
    stored_bytes: int
    is_delta: bool
    saved_at: datetime


class SavedCheckpoint(Checkpoint):
    """What was saved; a ``duplicate`` was saved before."""

    duplicate: bool = False


class LoadedCheckpoint(Checkpoint):
    """A checkpoint with its state.

    Attributes:
        newest: What the next checkpoint of the thread follows: its ``parent``. None where the
            checkpoint was asked for by its id.
    """

    newest: UUID | None = None
    state: Any


class CheckpointPage(Reply):
    """Checkpoints of a thread, the newest first; ``next`` is the ``before`` of the next page."""

    checkpoints: tuple[Checkpoint, ...]
    next: int | None = None


class CheckpointThread(Reply):
    """A thread: how many of its checkpoints are kept, and what they take."""

    user_id: str
    thread_id: str
    newest: UUID
    sequence: int
    kept: int
    stored_bytes: int
    saved_at: datetime


class ThreadPage(Reply):
    """Threads; the names begin the next page."""

    threads: tuple[CheckpointThread, ...]
    next_user_id: str | None = None
    next_thread_id: str | None = None


class CleanedCheckpoints(Reply):
    """What was removed, or would be.

    Attributes:
        left: Threads that were left as they are: what is to be kept rests on what is damaged.
        is_complete: Nothing is left for another call.
    """

    threads: int
    checkpoints: int
    bytes: int
    left: int = 0
    is_complete: bool = True
