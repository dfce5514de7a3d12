"""Turns "Alice prefers short answers" back into what Alice would say herself.

The other way round is ``voice.name_speaker``: what it does not make the same statement of again is
left as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.stages.offline.voice import name_speaker

if TYPE_CHECKING:
    from collections.abc import Iterator

_VERBS = {"is": "am", "has": "have", "hasn't": "haven't", "does": "do", "doesn't": "don't"}


def in_own_words(statement: str, speaker: str) -> str:
    """The statement as its subject says it; unchanged where that is not surely the same."""
    head = f"{speaker}: "
    if statement.startswith(head):
        return statement.removeprefix(head)
    told = _candidates(statement, speaker)
    return next((text for text in told if name_speaker(text, speaker) == statement), statement)


def _candidates(statement: str, speaker: str) -> Iterator[str]:
    if statement.startswith(f"{speaker}'s "):
        owned = statement.removeprefix(f"{speaker}'s ")
        yield f"My {owned}"
    if statement.startswith(f"{speaker} "):
        verb, _, rest = statement.removeprefix(f"{speaker} ").partition(" ")
        for base in _bases(verb):
            yield f"I {base} {rest}"


def _bases(verb: str) -> Iterator[str]:
    if verb in _VERBS:
        yield _VERBS[verb]
    if verb.endswith("ies"):
        yield f"{verb[:-3]}y"
    if verb.endswith("es"):
        yield verb[:-2]
    if verb.endswith("s"):
        yield verb[:-1]
    yield verb
