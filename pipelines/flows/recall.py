"""Recalling: what a new session should know, traceable to the messages that said it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog

from memstill_client.json_values import NotPlain, plain_text
from pipelines.errors import BadReply, DependencyUnavailable, InputError, ModelRefused
from pipelines.model import MemoryState, Owner, Scope
from pipelines.stages.budget import SMALLEST_LINE, fit, render_line
from pipelines.stages.injection.fence import bullet, fence_sections
from pipelines.stages.rank import Candidate, Ranked, promising, rank, reorder
from pipelines.stages.redaction.redact import redact
from pipelines.stages.sharing.share import without_own

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from config.retrieval import RankPolicy
    from pipelines.model import Memory, Vector
    from pipelines.ports import (
        Clock,
        Embedder,
        Hit,
        MemoryLoader,
        Reranker,
        TokenCounter,
        UseCounter,
        VectorIndex,
    )
    from pipelines.stages.injection.fence import Section

log = structlog.get_logger(__name__)

MAX_QUERY_CHARS = 8_000
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
MAX_MEMORIES = 1_000
MAX_TOKENS = 1_000_000
# So many times what is wanted is asked of a crowded index at most.
MAX_CROWD = 8
# Of what could be read so much can be told, or the index is crowded: a few ended a moment ago.
_FILLED = 0.75
_COUNTED_AT_ONCE = 8
NOT_RERANKED = "not reranked: the reranker did not answer as it should"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of whose memory.

    Attributes:
        session_id: With it, memories of that session's scope are found too.
        as_of: Answer with what held then, also where it was superseded since; None asks for now.
    """

    owner: Owner
    query: str
    max_memories: int
    max_tokens: int
    session_id: str | None = None
    as_of: datetime | None = None


@dataclass(frozen=True, slots=True)
class Recalled:
    """The answer, best first, and as the block for the next prompt.

    Attributes:
        tokens: Of the whole block, its fence included.
        notes: What was done without, each as a sentence.
    """

    memories: tuple[Ranked, ...]
    block: str
    tokens: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recall:
    """Answers questions; that it told a memory is all that it leaves behind."""

    store: MemoryLoader
    index: VectorIndex
    embedder: Embedder
    tokens: TokenCounter
    uses: UseCounter
    clock: Clock
    policy: RankPolicy
    reranker: Reranker | None = None

    def run(self, question: Question) -> Recalled:
        """Find, hydrate, rank, and cut to the budget.

        A secret in the query is redacted before any model or index sees it.

        Raises:
            InputError: The query is empty or too long, or a limit makes no sense.
        """
        question = checked(question)
        ranked, notes = self.find(question)
        kept = self.fit(ranked, question.max_memories, self.room(question))
        block = self.render(question, [(None, [render_line(item.memory) for item in kept])])
        self.note_told(kept)
        return Recalled(tuple(kept), block, self.tokens.count([block])[0], notes)

    def find(self, question: Question) -> tuple[list[Ranked], tuple[str, ...]]:
        """All that may help, best first, and what was done without; ``question`` is checked."""
        vector = self.embedder.embed([question.query])[0]
        candidates = self._find(question, vector)
        ranked = rank(candidates, question.as_of or self.clock.now(), self.policy)
        reranked = self._rerank(question, ranked)
        return (ranked, (NOT_RERANKED,)) if reranked is None else (reranked, ())

    def fit(self, ranked: Sequence[Ranked], max_memories: int, room: int) -> list[Ranked]:
        """The best that fit into so many tokens."""
        (smallest,) = self.tokens.count([in_block(SMALLEST_LINE)])
        return fit(ranked, self._count(ranked), max_memories, room, smallest)

    def note_told(self, kept: Sequence[Ranked]) -> None:
        """Each of them was used."""
        self.uses.note([item.memory.id for item in kept], self.clock.now())

    def render(self, question: Question, sections: Sequence[Section]) -> str:
        """The block for the next prompt."""
        return fence_sections(
            sections, user_id=question.owner.user_id, at=self.clock.now(), as_of=question.as_of
        )

    def _rerank(self, question: Question, ranked: list[Ranked]) -> list[Ranked] | None:
        """In the reranker's order, if there is one; None if it failed, which stops nobody."""
        first = ranked[: self.policy.reranked]
        if self.reranker is None or not first:
            return ranked
        lines = [render_line(item.memory) for item in first]
        try:
            scores = self.reranker.rerank(question.query, lines)
        except (BadReply, DependencyUnavailable, ModelRefused) as error:
            log.warning("rerank_failed", error=str(error))
            return None
        keys = [item.memory.id for item in first]
        return reorder(ranked, dict(zip(keys, scores, strict=True)))

    def _find(self, question: Question, vector: Vector) -> list[Candidate]:
        """The user's own memories, and of everyone's those that add to them."""
        everyone = replace(question, owner=Owner.everyone(question.owner.tenant_id))
        own, shared = self._candidates(question, vector), self._candidates(everyone, vector)
        added = without_own([item.memory for item in own], [item.memory for item in shared])
        ids = {memory.id for memory in added}
        best = max((item.lexical or 0.0 for item in own), default=0.0)
        return own + [_beside(item, best) for item in shared if item.memory.id in ids]

    def _candidates(self, question: Question, vector: Vector) -> list[Candidate]:
        """What the index proposes and the store has, as far as it may come near the top.

        While a generation takes the place of another, memories of both stand in the index and
        crowd each other out: then it is asked for more.
        """
        wanted = legs = max(self.policy.legs, question.max_memories)
        enough = max(self.policy.least_considered, self.policy.considered * question.max_memories)
        while True:
            hits = promising(self._search(question, vector, legs), self.policy)
            found = self._load(question, hits, enough)
            is_crowded = len(found) < _FILLED * min(wanted, enough) and legs <= len(hits)
            if not is_crowded or legs >= MAX_CROWD * wanted:
                return found
            legs *= 2

    def _load(self, question: Question, hits: Sequence[Hit], enough: int) -> list[Candidate]:
        """The first of the hits that can be told, and hardly more of them than enough."""
        found: list[Candidate] = []
        for start in range(0, len(hits), enough):
            part = hits[start : start + enough]
            rows = self.store.load_memories(question.owner, [hit.memory_id for hit in part])
            found += _hydrate(question, part, rows)
            if len(found) >= enough:
                break
        return found

    def _search(self, question: Question, vector: Vector, legs: int) -> list[Hit]:
        return self.index.search(
            question.owner,
            question.session_id,
            vector,
            question.query,
            legs,
            as_of=question.as_of,
        )

    def room(self, question: Question) -> int:
        """Tokens that are left for lines, beside the frame of the block."""
        (frame,) = self.tokens.count([self.render(question, [(None, [""])])])
        return max(0, question.max_tokens - frame)

    def _count(self, ranked: Sequence[Ranked]) -> Iterator[int]:
        """Tokens of each line, as far as somebody asks: a few dozen of the candidates fit."""
        for start in range(0, len(ranked), _COUNTED_AT_ONCE):
            part = ranked[start : start + _COUNTED_AT_ONCE]
            yield from self.tokens.count([in_block(render_line(item.memory)) for item in part])


def in_block(line: str) -> str:
    """What a line adds to the block."""
    return f"\n{bullet(line)}"


def _hydrate(question: Question, hits: Sequence[Hit], rows: Sequence[Memory]) -> list[Candidate]:
    # The index only proposes: what does not hold, is erased or foreign drops out here.
    memories = {row.id: row for row in rows if _is_visible(row, question)}
    return [
        Candidate(memories[hit.memory_id], hit.cosine, hit.lexical)
        for hit in hits
        if hit.memory_id in memories
    ]


def _is_visible(memory: Memory, question: Question) -> bool:
    if not _holds(memory, question.as_of):
        return False
    if memory.owner == Owner.everyone(memory.owner.tenant_id):
        return memory.scope is Scope.GLOBAL
    return memory.scope is not Scope.SESSION or memory.session_id == question.session_id


def _holds(memory: Memory, as_of: datetime | None) -> bool:
    if memory.evicted_at is not None:
        return False
    if as_of is None:
        return memory.state is MemoryState.ACTIVE
    is_told = memory.state is not MemoryState.MERGED
    has_ended = memory.valid_to is not None and memory.valid_to <= as_of
    return is_told and memory.valid_from <= as_of and not has_ended


def _beside(shared: Candidate, best: float) -> Candidate:
    """Words are scored among each owner's memories apart: never above the user's own best."""
    if shared.lexical is None or not best:
        return shared
    return replace(shared, lexical=min(shared.lexical, best))


def checked(question: Question) -> Question:
    """The question without secrets.

    Raises:
        InputError: It is empty or too long, or a limit makes no sense.
    """
    _check(question)
    return replace(question, query=redact(question.query).text)


def _check(question: Question) -> None:
    for field, name in (("user_id", question.owner.user_id), ("session_id", question.session_id)):
        try:
            plain_text(name or "")
        except NotPlain as error:
            raise InputError(field, str(error)) from None
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
