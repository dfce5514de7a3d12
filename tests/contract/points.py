"""Points and vectors for tests of the vector index."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import numpy as np

from pipelines.model import MemoryId, MemoryState, Owner, Scope, Vector
from pipelines.ports import Hit, IndexPoint, Removal
from tests.builders import START

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

SIZE = 8
ALICE = Owner("acme", "alice")
BOB = Owner("acme", "bob")
OTHER_ALICE = Owner("globex", "alice")


def along(axis: int, tilt: float = 0.0) -> Vector:
    """A unit vector along an axis, turned a little towards the next one."""
    raw = np.zeros(SIZE, dtype=np.float32)
    raw[axis], raw[(axis + 1) % SIZE] = 1.0, tilt
    return raw / np.float32(np.linalg.norm(raw))


def make_point(
    text: str,
    vector: Vector | None = None,
    *,
    owner: Owner = ALICE,
    scope: Scope = Scope.USER,
    session_id: str = "s1",
    version: int = 1,
    memory_id: MemoryId | None = None,
    state: MemoryState = MemoryState.ACTIVE,
    valid_from: datetime = START,
    valid_to: datetime | None = None,
) -> IndexPoint:
    """A point with a random id unless one is given."""
    return IndexPoint(
        memory_id or MemoryId(uuid.uuid4()),
        owner,
        scope,
        session_id,
        version,
        along(0) if vector is None else vector,
        text,
        state,
        valid_from,
        valid_to,
    )


def gone(point: IndexPoint) -> Removal:
    """What removes a point that is not newer than this one."""
    return Removal(point.memory_id, point.version)


def found(hits: Sequence[Hit]) -> list[MemoryId]:
    """The ids of hits, in their order."""
    return [hit.memory_id for hit in hits]
