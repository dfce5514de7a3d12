"""Checkpoints of a thread, and the states that a chain of deltas leads to."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, NewType

from pipelines.stages.checkpoints.canonical import digest, spell
from pipelines.stages.checkpoints.delta import FAILURES, apply_delta

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from pipelines.model import Owner

CheckpointId = NewType("CheckpointId", uuid.UUID)

# For a save that follows whatever is the newest.
NEWEST: Final = "newest"
Parent = CheckpointId | Literal["newest"] | None


@dataclass(frozen=True, slots=True, order=True)
class Thread:
    """A line of checkpoints, each following the one before."""

    owner: Owner
    id: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A position of a running agent, without its state.

    Attributes:
        parent: The checkpoint before; also one that is cleaned up by now, or of another thread.
        origin: The thread of the parent, where it is another: this one was forked from it.
        sequence: From 1, without gaps.
        node: Where in its work the agent was, in its own words.
        metadata: Canonical JSON of an object.
        sha256: Of the state's canonical JSON, in hex.
        size: Of that JSON, in bytes.
        stored: Bytes that it takes, as full snapshot or as delta.
        is_delta: It rests on the checkpoint before.
    """

    id: CheckpointId
    thread: Thread
    parent: CheckpointId | None
    origin: str | None
    sequence: int
    node: str | None
    metadata: str
    sha256: str
    size: int
    stored: int
    is_delta: bool
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """A checkpoint with what is stored of its state.

    Attributes:
        base: What the delta belongs to; None for a full snapshot.
        content: Canonical JSON: of the state, or of the delta.
    """

    checkpoint: Checkpoint
    base: CheckpointId | None
    content: bytes


class Sound(NamedTuple):
    """A checkpoint whose state has the hash that it was saved with, and that state."""

    checkpoint: Checkpoint
    state: bytes


def rebuild(chain: Sequence[Link]) -> bytes | None:
    """The state of the last link, as canonical JSON; None where it is not what was saved.

    Args:
        chain: From a full snapshot on.
    """
    if not _is_whole(chain):
        return None
    state = chain[0].content if len(chain) == 1 else _last_state(chain)
    return state if digest(state) == chain[-1].checkpoint.sha256 else None


def find_sound(chain: Sequence[Link]) -> Sound | None:
    """The last link of a chain whose state is what was saved."""
    sound = None
    # They end where a delta cannot be applied; one that leads astray may be led back.
    for link, state in zip(chain, _states(chain), strict=False):
        if digest(state) == link.checkpoint.sha256:
            sound = Sound(link.checkpoint, state)
    return sound


def _is_whole(chain: Sequence[Link]) -> bool:
    before: list[CheckpointId | None] = [None, *(link.checkpoint.id for link in chain)]
    return all(link.base == base for link, base in zip(chain, before, strict=False))


def _last_state(chain: Sequence[Link]) -> bytes:
    try:
        state = json.loads(chain[0].content)
        for link in chain[1:]:
            state = apply_delta(state, link.content)
        return spell(state)
    except FAILURES:
        return b""


def _states(chain: Sequence[Link]) -> Iterator[bytes]:
    try:
        state = json.loads(chain[0].content)
        yield chain[0].content
        for link in chain[1:]:
            state = apply_delta(state, link.content)
            yield spell(state)
    except FAILURES:
        return
