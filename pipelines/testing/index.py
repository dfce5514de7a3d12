"""A vector index in memory: exact, with the same words and weights as the real ones."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.adapters.collection import merge_hits
from pipelines.adapters.lexical import (
    SparseText,
    document_vector,
    inverse_document_frequency,
    query_vector,
)
from pipelines.errors import IndexUnavailable
from pipelines.model import MemoryState, Scope
from pipelines.ports import ANYWHERE, IndexedPoint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from pipelines.model import MemoryId, Owner, Vector
    from pipelines.ports import Hit, IndexPoint, Removal


@dataclass(frozen=True, slots=True)
class _Entry:
    point: IndexPoint
    words: Mapping[int, float]


class InMemoryIndex:
    """Scans everything, behind one lock; for some thousands of points."""

    def __init__(self, *, is_made: bool = True) -> None:
        self.points: dict[MemoryId, _Entry] = {}
        self.tended = 0
        self._is_made = is_made
        self._successors: dict[str, InMemoryIndex] = {}
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Nothing to create: memory is always empty at first."""

    def apply(self, upserts: Sequence[IndexPoint], removals: Collection[Removal]) -> None:
        with self._lock:
            for point in upserts:
                self._upsert(point)
            for removal in removals:
                self._remove(removal)

    def remove_owner(self, owner: Owner) -> None:
        with self._lock:
            mine = [key for key, entry in self._entries.items() if entry.point.owner == owner]
            for key in mine:
                del self._entries[key]

    def scan(self, after: MemoryId | None, limit: int) -> list[IndexedPoint]:
        with self._lock:
            behind = sorted(key for key in self._entries if after is None or key > after)
            points = [self._entries[key].point for key in behind[:limit]]
        return [
            IndexedPoint(each.memory_id, each.owner, each.scope, each.version, each.state)
            for each in points
        ]

    def is_empty(self) -> bool:
        with self._lock:
            return not self._entries

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
        mine = self._entries_of(owner)
        visible = [
            entry
            for entry in mine
            if _is_visible(entry.point, session_id) and _holds(entry.point, as_of)
        ]
        cosines = {entry.point.memory_id: _cosine(entry, vector) for entry in visible}
        scores = _lexical_scores(query_vector(text), mine)
        lexical = {key: score for key, score in scores.items() if key in cosines}
        found = set(_best(cosines, limit)) | set(_best(lexical, limit))
        return merge_hits(
            {key: cosines[key] for key in found},
            {key: lexical[key] for key in found if key in lexical},
        )

    def neighbours(
        self, owner: Owner, vectors: Sequence[Vector], limit: int, *, min_cosine: float = ANYWHERE
    ) -> list[list[MemoryId]]:
        mine = [entry for entry in self._entries_of(owner) if _holds(entry.point, None)]
        found: list[list[MemoryId]] = []
        for vector in vectors:
            cosines = {entry.point.memory_id: _cosine(entry, vector) for entry in mine}
            near = {key: cosine for key, cosine in cosines.items() if cosine >= min_cosine}
            found.append(_best(near, limit))
        return found

    def count(self, owner: Owner) -> int:
        return len(self._entries_of(owner))

    def close(self) -> None:
        """Nothing to release."""

    def tend(self) -> int:
        self.tended += 1
        return 0

    def successor(self, token: str) -> InMemoryIndex:
        return self._successors.get(token, InMemoryIndex(is_made=False))

    def make_successor(self, token: str) -> bool:
        is_missing = token not in self._successors
        self._successors.setdefault(token, InMemoryIndex())
        return is_missing

    def is_switched(self, token: str) -> bool:
        """Never, as far as anybody can tell."""
        del token
        return False

    def switch(self, token: str) -> None:
        with self._lock:
            self.points = self._successors.pop(token).points

    def drop_leftovers(self, keep: str | None) -> int:
        left = [token for token in self._successors if token != keep]
        for token in left:
            del self._successors[token]
        return len(left)

    @property
    def _entries(self) -> dict[MemoryId, _Entry]:
        if not self._is_made:
            raise IndexUnavailable("no such index was made")
        return self.points

    def _remove(self, removal: Removal) -> None:
        known = self._entries.get(removal.memory_id)
        if known is not None and (
            removal.version is None or known.point.version <= removal.version
        ):
            del self._entries[removal.memory_id]

    def _upsert(self, point: IndexPoint) -> None:
        known = self._entries.get(point.memory_id)
        if known is None or known.point.version <= point.version:
            words = document_vector(point.text)
            weights = dict(zip(words.indices, words.values, strict=True))
            self._entries[point.memory_id] = _Entry(point, weights)

    def _entries_of(self, owner: Owner) -> list[_Entry]:
        with self._lock:
            return [entry for entry in self._entries.values() if entry.point.owner == owner]


def _is_visible(point: IndexPoint, session_id: str | None) -> bool:
    is_in_session = session_id is not None and point.session_id == session_id
    return point.scope is not Scope.SESSION or is_in_session


def _holds(point: IndexPoint, as_of: datetime | None) -> bool:
    if as_of is None:
        return point.state is MemoryState.ACTIVE
    return point.valid_from <= as_of and (point.valid_to is None or as_of < point.valid_to)


def _cosine(entry: _Entry, vector: Vector) -> float:
    return float(entry.point.vector @ vector)


def _lexical_scores(query: SparseText, mine: Iterable[_Entry]) -> dict[MemoryId, float]:
    corpus = list(mine)
    scores: dict[MemoryId, float] = {}
    for term in query.indices:
        holders = [entry for entry in corpus if term in entry.words]
        rarity = inverse_document_frequency(len(corpus), len(holders))
        for entry in holders:
            key = entry.point.memory_id
            scores[key] = scores.get(key, 0.0) + rarity * entry.words[term]
    return scores


def _best(scores: Mapping[MemoryId, float], limit: int) -> list[MemoryId]:
    return sorted(scores, key=lambda key: (-scores[key], str(key)))[:limit]
