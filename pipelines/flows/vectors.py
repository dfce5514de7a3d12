"""Vectors of statements, for as long as one user's facts are put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipelines.model import Memory, Vector
    from pipelines.ports import Embedder


class Vectors:
    """Vectors of statements, each embedded once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, Vector] = {}

    def of(self, statement: str) -> Vector:
        """The vector of one."""
        if statement not in self._known:
            self.learn([statement])
        return self._known[statement]

    def remember(self, memory: Memory) -> None:
        """What a memory's statement was embedded as is not embedded again."""
        self._known.setdefault(memory.statement, memory.vector)

    def learn(self, statements: Iterable[str]) -> None:
        """Embed those that are new, all in one call."""
        new = list(dict.fromkeys(item for item in statements if item not in self._known))
        if new:
            self._known.update(zip(new, self._embedder.embed(new), strict=True))
