"""The index as everybody writes it who does not build it anew."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.ports import ANYWHERE

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from pipelines.model import MemoryId, Owner, Vector
    from pipelines.ports import (
        Hit,
        IndexedPoint,
        IndexPoint,
        RebuildableIndex,
        RebuildStore,
        Removal,
    )


@dataclass(frozen=True, slots=True)
class GatedIndex:
    """``VectorIndex`` whose writes go into the one that is being built beside it, too.

    That one first: whatever is in the live index is then in its successor, whenever it takes
    its place and whoever dies in between.
    """

    live: RebuildableIndex
    rebuilds: RebuildStore

    def prepare(self) -> None:
        self.live.prepare()

    def apply(self, upserts: Sequence[IndexPoint], removals: Collection[Removal]) -> None:
        with self.rebuilds.sharing() as token:
            if token is not None:
                self.live.successor(token).apply(upserts, removals)
            self.live.apply(upserts, removals)

    def remove_owner(self, owner: Owner) -> None:
        with self.rebuilds.sharing() as token:
            if token is not None:
                self.live.successor(token).remove_owner(owner)
            self.live.remove_owner(owner)

    def scan(self, after: MemoryId | None, limit: int) -> list[IndexedPoint]:
        return self.live.scan(after, limit)

    def is_empty(self) -> bool:
        return self.live.is_empty()

    def search(
        self,
        owner: Owner,
        session_id: str | None,
        vector: Vector,
        text: str,
        limit: int,
        *,
        as_of: datetime | None = None,
    ) -> list[Hit]:
        return self.live.search(owner, session_id, vector, text, limit, as_of=as_of)

    def neighbours(
        self, owner: Owner, vectors: Sequence[Vector], limit: int, *, min_cosine: float = ANYWHERE
    ) -> list[list[MemoryId]]:
        return self.live.neighbours(owner, vectors, limit, min_cosine=min_cosine)

    def count(self, owner: Owner) -> int:
        return self.live.count(owner)

    def close(self) -> None:
        self.live.close()
