"""Recalling: what a new session should know, traceable to the messages that said it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import InputError
from pipelines.model import MemoryState, Scope
from pipelines.stages.budget import fit, render_line
from pipelines.stages.fence import fence
from pipelines.stages.rank import Candidate, Ranked, rank

if TYPE_CHECKING:
    from collections.abc import Sequence

    from config.policy import RankPolicy
    from pipelines.model import Memory, Owner, Vector
    from pipelines.ports import Clock, Embedder, Hit, MemoryStore, TokenCounter, VectorIndex

log = structlog.get_logger(__name__)

MAX_QUERY_CHARS = 8_000
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_MEMORIES = 1_000
MAX_TOKENS = 1_000_000


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of whose memory.

    Attributes:
        session_id: With it, memories of that session's scope are found too.
    """

    owner: Owner
    query: str
    max_memories: int
    max_tokens: int
    session_id: str | None = None


@dataclass(frozen=True, slots=True)
class Recalled:
    """The answer, best first, and as the block for the next prompt.

    Attributes:
        tokens: Of the whole block, its fence included.
    """

    memories: tuple[Ranked, ...]
    block: str
    tokens: int


@dataclass(frozen=True, slots=True)
class Recall:
    """Answers questions; writes nothing."""

    store: MemoryStore
    index: VectorIndex
    embedder: Embedder
    tokens: TokenCounter
    clock: Clock
    policy: RankPolicy

    def run(self, question: Question) -> Recalled:
        """Find, hydrate, rank, and cut to the budget.

        Raises:
            InputError: The query is empty or too long, or a limit makes no sense.
        """
        _check(question)
        vector = self.embedder.embed([question.query])[0]
        candidates = self._hydrate(question, self._search(question, vector))
        return self._fit(question, rank(candidates, self.clock.now(), self.policy))

    def _search(self, question: Question, vector: Vector) -> list[Hit]:
        legs = max(self.policy.legs, question.max_memories)
        return self.index.search(question.owner, question.session_id, vector, question.query, legs)

    def _hydrate(self, question: Question, hits: Sequence[Hit]) -> list[Candidate]:
        # The index only proposes: superseded, erased or foreign memories drop out here.
        rows = self.store.load_memories(question.owner, [hit.memory_id for hit in hits])
        memories = {row.id: row for row in rows if _is_visible(row, question.session_id)}
        return [
            Candidate(memories[hit.memory_id], hit.cosine, hit.lexical)
            for hit in hits
            if hit.memory_id in memories
        ]

    def _fit(self, question: Question, ranked: Sequence[Ranked]) -> Recalled:
        lines = [render_line(item.memory) for item in ranked]
        frame, *counts = self.tokens.count([self._render(question, [""]), *lines])
        room = max(0, question.max_tokens - frame)
        kept = fit(ranked, counts, question.max_memories, room)
        block = self._render(question, [render_line(item.memory) for item in kept])
        return Recalled(tuple(kept), block, self.tokens.count([block])[0])

    def _render(self, question: Question, lines: Sequence[str]) -> str:
        return fence(lines, user_id=question.owner.user_id, at=self.clock.now())


def _is_visible(memory: Memory, session_id: str | None) -> bool:
    if memory.state is not MemoryState.ACTIVE:
        return False
    return memory.scope is not Scope.SESSION or memory.session_id == session_id


def _check(question: Question) -> None:
    if not question.query.strip():
        raise InputError("query", "is empty; ask for what the next session is about")
    if not question.query.isascii() and _LONE_SURROGATE.search(question.query):
        raise InputError("query", "holds half a character (a lone surrogate); send valid text")
    if len(question.query) > MAX_QUERY_CHARS:
        raise InputError("query", f"is longer than {MAX_QUERY_CHARS} characters; shorten it")
    if not 1 <= question.max_memories <= MAX_MEMORIES:
        raise InputError("max_memories", f"must be between 1 and {MAX_MEMORIES}")
    if not 1 <= question.max_tokens <= MAX_TOKENS:
        raise InputError("max_tokens", f"must be between 1 and {MAX_TOKENS}")
