"""In which order the candidates of a recall are worth telling."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

import numpy as np

from pipelines.stages.decay import strength
from pipelines.stages.dedup import statement_key

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from config.retrieval import RankPolicy
    from pipelines.model import Memory, MemoryId, ReceiptId, Slot

    _Message = tuple[ReceiptId, int]


ScoredT = TypeVar("ScoredT", bound="Scored")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A memory that a search found, with its scores.

    Attributes:
        cosine: Similarity to the query, -1 to 1.
        lexical: BM25-like score above 0, comparable within one search only; None where it
            shares no word with the query.
    """

    memory: Memory
    cosine: float
    lexical: float | None


@dataclass(frozen=True, slots=True)
class Ranked:
    """A memory at its place; ``score`` is its own relevance, whatever stands around it."""

    memory: Memory
    score: float


class Scored(Protocol):
    """Something that the index has found."""

    @property
    def cosine(self) -> float:
        """Similarity to the query, -1 to 1."""
        ...

    @property
    def lexical(self) -> float | None:
        """By words, comparable within one search only; None where it shares none."""
        ...


def promising(found: Sequence[ScoredT], policy: RankPolicy) -> list[ScoredT]:
    """Best first by what the index says alone; equals stay as they stood."""
    best = _best(found)
    return sorted(found, key=lambda item: -_relevance(item, best, policy))


def rank(candidates: Sequence[Candidate], now: datetime, policy: RankPolicy) -> list[Ranked]:
    """Order candidates, best first; the order of the input does not matter.

    Relevance is the weighted sum of cosine and lexical score, the latter divided by the best
    of this query, and of a little strength. From the top down, a memory then gives way to one of
    similar relevance that says something else or rests on another message. A statement is shown
    once, as its newest memory; of memories in one slot the newest stands first; what ceased to
    hold by ``now`` is left out. Equals stand by confirmation, the newest first, then by id.
    """
    holding = [item for item in candidates if _holds(item.memory, now)]
    scored = sorted(_scored(holding, now, policy), key=_precedence)
    return _newest_first_in_slots(_spread(_shown_once(scored), policy))


def reorder(ranked: Sequence[Ranked], scores: Mapping[MemoryId, float]) -> list[Ranked]:
    """Put those that somebody else has scored first, by that score; the others follow as ranked.

    Of memories in one slot the newest still stands first.
    """
    judged = [replace(item, score=score) for item, score in _judged(ranked, scores)]
    judged.sort(key=lambda item: -item.score)
    rest = [item for item in ranked if item.memory.id not in scores]
    return _newest_first_in_slots([*judged, *rest])


def _judged(
    ranked: Sequence[Ranked], scores: Mapping[MemoryId, float]
) -> list[tuple[Ranked, float]]:
    return [(item, scores[item.memory.id]) for item in ranked if item.memory.id in scores]


def _holds(memory: Memory, now: datetime) -> bool:
    return memory.valid_to is None or memory.valid_to > now


def _scored(candidates: Sequence[Candidate], now: datetime, policy: RankPolicy) -> list[Ranked]:
    best = _best(candidates)
    return [
        Ranked(
            item.memory,
            _relevance(item, best, policy)
            + policy.strength_weight * _freshness(item.memory, now, policy.half_life),
        )
        for item in candidates
    ]


def _best(found: Sequence[Scored]) -> float:
    return max((item.lexical or 0.0 for item in found), default=0.0) or 1.0


def _relevance(found: Scored, best: float, policy: RankPolicy) -> float:
    lexical = (found.lexical or 0.0) / best
    return policy.dense_weight * found.cosine + policy.lexical_weight * lexical


def _freshness(memory: Memory, now: datetime, half_life: timedelta) -> float:
    """Its strength if being said were its only use: by event time, whenever it was pushed."""
    idle = max(now - memory.confirmed_at, timedelta())
    return strength(idle, max(1, len(memory.sessions)), half_life)


def _precedence(ranked: Ranked) -> tuple[float, float, int]:
    memory = ranked.memory
    return (-ranked.score, -memory.confirmed_at.timestamp(), memory.id.int)


def _age(ranked: Ranked) -> tuple[datetime, datetime, int]:
    memory = ranked.memory
    return (memory.valid_from, memory.confirmed_at, memory.id.int)


def _shown_once(ranked: Sequence[Ranked]) -> list[Ranked]:
    """Of memories that say the same of one subject only the newest, at the best one's place."""
    newest: dict[tuple[str, str], Ranked] = {}
    for item in ranked:
        said = (item.memory.subject, statement_key(item.memory.statement))
        if said not in newest or _age(newest[said]) < _age(item):
            newest[said] = Ranked(item.memory, newest.get(said, item).score)
    return list(newest.values())


def _spread(ranked: Sequence[Ranked], policy: RankPolicy) -> list[Ranked]:
    """Take the best again and again, counting off what those above have already told."""
    if not ranked:
        return []
    vectors = np.stack([item.memory.vector for item in ranked])
    likeness = policy.diversity * (vectors @ vectors.T).astype(np.float64)
    messages = [_messages(item) for item in ranked]
    places = _places_by_message(messages)
    worth = (1 - policy.diversity) * np.array([item.score for item in ranked])
    toll, left = np.zeros(len(ranked)), worth.copy()
    told: set[int] = set()
    order: list[int] = []
    for _ in ranked:
        chosen = int(left.argmax())
        order.append(chosen)
        worth[chosen] = -np.inf
        np.maximum(toll, likeness[chosen], out=toll)
        again = {place for message in messages[chosen] for place in places.pop(message, ())}
        for place in again - told:
            worth[place] -= policy.same_message_penalty
        told |= again
        np.subtract(worth, toll, out=left)
    return [ranked[place] for place in order]


def _messages(ranked: Ranked) -> set[_Message]:
    return {(item.transcript_id, item.message_index) for item in ranked.memory.evidence}


def _places_by_message(messages: Sequence[set[_Message]]) -> dict[_Message, list[int]]:
    places: dict[_Message, list[int]] = defaultdict(list)
    for place, cited in enumerate(messages):
        for message in cited:
            places[message].append(place)
    return places


def _newest_first_in_slots(ranked: Sequence[Ranked]) -> list[Ranked]:
    """Sort the memories of each slot by age among the places that they hold."""
    places: dict[Slot, list[int]] = defaultdict(list)
    for place, item in enumerate(ranked):
        if item.memory.slot is not None:
            places[item.memory.slot].append(place)
    ordered = list(ranked)
    for held in places.values():
        by_age = sorted((ranked[place] for place in held), key=_age, reverse=True)
        for place, item in zip(held, by_age, strict=True):
            ordered[place] = item
    return ordered
