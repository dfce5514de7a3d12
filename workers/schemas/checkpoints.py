"""Answers about checkpoints."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from workers.schemas.answers import Answer, Error, Problem


class CheckpointShown(Answer):
    """A checkpoint without its state; ``sha256`` is that of the state as canonical JSON."""

    schema_version: int
    id: UUID
    user_id: str
    thread_id: str
    parent: UUID | None
    origin: str | None
    sequence: int
    node: str | None
    metadata: dict[str, Any]
    sha256: str
    bytes: int
    stored_bytes: int
    is_delta: bool
    saved_at: datetime


class CheckpointSaved(CheckpointShown):
    """What was saved, and whether it was before."""

    duplicate: bool


class CheckpointLoaded(CheckpointShown):
    """A checkpoint with its state; ``newest`` is what the next one of the thread follows."""

    newest: UUID | None
    state: Any


class CheckpointHistory(Answer):
    """A page, the newest first; ``next`` is the ``before`` of the following one."""

    checkpoints: list[CheckpointShown]
    next: int | None


class CheckpointThread(Answer):
    """A thread and what it takes."""

    user_id: str
    thread_id: str
    newest: UUID
    sequence: int
    kept: int
    stored_bytes: int
    saved_at: datetime


class CheckpointThreads(Answer):
    """A page; ``next_user_id`` and ``next_thread_id`` begin the following one."""

    threads: list[CheckpointThread]
    next_user_id: str | None
    next_thread_id: str | None


class CheckpointsCleaned(Answer):
    """What was removed, or would be; unless it ``is_complete`` there is more."""

    threads: int
    checkpoints: int
    bytes: int
    left: int
    is_complete: bool


class CheckpointProblem(Problem):
    """What is wrong with a checkpoint, and which one to go on with."""

    checkpoint: UUID | None = None


class CheckpointError(Error):
    """An answer that names the checkpoint to go on with, if there is any."""

    error: CheckpointProblem
