"""What was said beside the facts that a model found, kept as it was said.

A model keeps what it thinks a later session will need, and later sessions ask for more. So a
session in which it found something keeps its other telling sentences too: as the offline
distiller words them, of low importance, and never as the value of an attribute, because what
holds now is for the facts to say.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pipelines.model import Role, fact_id
from pipelines.stages.grounding.ground import ground
from pipelines.stages.grounding.support import split_words
from pipelines.stages.offline.distill import distill_transcript

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from config.retrieval import VerbatimPolicy
    from pipelines.model import Draft, Fact, Message, Transcript

VERBATIM = "verbatim/1"
"""What such facts and memories name as their distiller."""


def verbatim_beside(
    facts: Sequence[Fact], transcript: Transcript, policy: VerbatimPolicy
) -> list[Fact]:
    """The telling sentences of users that no fact quotes, grounded like any other draft.

    Args:
        facts: What the model found in the transcript, grounded; without any nothing is kept,
            because a model that finds nothing worth keeping is believed.
        transcript: Without recalled text.
        policy: How important such a sentence is.

    Returns:
        Facts of their own, numbered on from those of the model.
    """
    if not facts:
        return []
    quotes = _quotes(facts)
    drafts = [
        replace(draft, importance=policy.importance)
        for draft in distill_transcript(transcript, is_wanted=partial(_is_untold, quotes))
        if _is_beside(draft, quotes)
    ]
    kept, _ = ground(drafts, transcript, VERBATIM)
    first = max(fact.ordinal for fact in facts) + 1
    return [
        replace(fact, id=fact_id(transcript.id, first + number), ordinal=first + number)
        for number, fact in enumerate(kept)
    ]


def _quotes(facts: Sequence[Fact]) -> Mapping[str, list[frozenset[str]]]:
    """The words that facts quote of each message; further evidence is only context."""
    quotes: dict[str, list[frozenset[str]]] = {}
    for fact in facts:
        first = fact.evidence[0]
        quotes.setdefault(first.message_id, []).append(split_words(first.quote))
    return quotes


def _is_untold(quotes: Mapping[str, list[frozenset[str]]], message: Message, sentence: str) -> bool:
    """Whether a user says it and no fact quotes all of it."""
    if message.role is not Role.USER:
        return False
    found = quotes.get(message.id)
    return found is None or not any(map(split_words(sentence).issubset, found))


def _is_beside(draft: Draft, quotes: Mapping[str, list[frozenset[str]]]) -> bool:
    if draft.attribute is not None:
        return False
    words = split_words(draft.quote)
    found = quotes.get(draft.message_ids[0], ())
    return not any(words <= quoted or quoted <= words for quoted in found)
