"""Which sentences say something that a later session may need."""

from __future__ import annotations

import re
from bisect import bisect_left
from functools import lru_cache
from typing import TYPE_CHECKING

from pipelines.stages.offline.courtesy import ASIDES, EMPTY_WORDS, OPENINGS
from pipelines.stages.offline.kinds import is_standing_wish
from pipelines.stages.wordlist import any_of, phrase_pattern, straight

if TYPE_CHECKING:
    from collections.abc import Sequence

_MIN_IN_ASIDE = 4
_MIN_ABOUT_OTHERS = 2
_MIN_NICKNAME = 3
_MAX_OPENINGS = 4

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_OPENING = re.compile(rf"(?:{OPENINGS}(?:[\s,.!\u2013\u2014-]+|$))+", re.IGNORECASE)
_ADDRESS = re.compile(r"(\w+)[\s,.!\u2013\u2014-]{1,4}")
_ASIDE = re.compile(ASIDES, re.IGNORECASE)
_FIRST_PERSON = phrase_pattern(r"i|i'\w+|my|me|mine|we|we'\w+|our|ours|us")
_HYPOTHETICAL = re.compile(
    any_of(
        r"""
        what if\b|imagine\b|suppose\b|if only\b|i wish\b|maybe one day\b
        if (?:i|we) (?:had|were|was|could|did|won|knew|ever)\b
        """
    ),
    re.IGNORECASE,
)
_DECLARED_QUESTION = re.compile(r"(?:i|i'm|i've|we|we're|my|our)\b.{12,}", re.IGNORECASE)
_TOLD = re.compile(
    any_of(
        """
        did i (?:tell|mention)
        have i told
        guess what
        (?:do you )?remember (?:when|that|my|our)
        """
    )
    + r"\b",
    re.IGNORECASE,
)
_ASKING = any_of(
    r"""
    please\s+|just\s+|now\s+|then\s+|help me\s+
    (?:can|could|would) you\s+
    i\s+(?:need|want)\s+you\s+to\s+
    """
)
_VERBS = any_of(
    """
    write|fix|make|give|show|explain|generate|create|summari[sz]e|translate|tell|list|find|search
    draft|rewrite|refactor|add|remove|update|run|check|review|compare|calculate|convert|suggest
    recommend|help|look|open|delete|rename|format|implement|debug|analy[sz]e|describe|continue
    proceed|send|print|read|use|try|test|build|install|deploy|move|replace|change|set|return
    output|sort|count|do|go|let|take|think|consider|imagine|wait|stop|start|answer|reply|respond
    speak|talk
    """
)
_COMMAND = re.compile(
    rf"{_ASKING}*{_VERBS}\b(?!\s+(?:is|was|are|were|has|had)\b|ing\b)", re.IGNORECASE
)
_ENDED = any_of(
    """
    fixed|resolved|solved|deployed|released|merged|migrated|reverted|rolled back|completed
    approved|rejected|cancelled|refunded|booked
    """
)
_RESULT = re.compile(
    any_of(
        rf"""
        \bfail(?:ed|s|ure)?\b.{{0,80}}\b(?:because|due to|since|as)\b
        \bcause (?:was|is|turned out)\b
        \blessons? learn(?:ed|t)\b
        \bturned out (?:to be|that)\b
        \b(?:is|are|was|were|has been|have been|got) (?:now |successfully |finally )?{_ENDED}\b
        \b(?:successfully|finally) \w+ed\b
        \b\w+ed successfully\b
        \b(?:tests?|build|pipeline|deployment|run|job) (?:has |have |now )?pass(?:e[ds])?\b
        \b(?:build|pipeline|deployment|migration|run|job) (?:has |have )?(?:failed|succeeded)\b
        \b(?:pipeline|deployment|migration|run|job) (?:has |have )?(?:completed|finished)\b
        ^(?:{_ENDED}|done)\b(?: by| in| with|:| the)
        """
    ),
    re.IGNORECASE,
)
_OFFER = phrase_pattern(
    """
    if|would|could|can|may|might|should|will|let me|please|you'll|i'll|once|when|make sure|try
    usually|often|typically|generally
    """
)


def informative_words(sentence: str, people: frozenset[str] = frozenset()) -> int:
    """How many words are left without function words, courtesy and the people spoken to."""
    words = (word.casefold() for word in _WORD.findall(straight(sentence)))
    plain = (word.removesuffix("'s") for word in words if word not in EMPTY_WORDS)
    return sum(word not in EMPTY_WORDS and not _is_person(word, people) for word in plain)


def is_question(sentence: str) -> bool:
    """Whether it asks, by its mark."""
    return sentence.rstrip("\"')\u201d\u2019 ").endswith("?")


def is_worth_keeping(sentence: str, people: frozenset[str]) -> bool:
    """Whether a user's sentence tells something about a person, an event or the world.

    ``people`` are the case-folded names of who takes part: addressing them tells nothing.
    """
    core = _without_opening(straight(sentence), people)
    if is_question(sentence):
        return bool(_DECLARED_QUESTION.match(core) or _TOLD.match(core))
    if _HYPOTHETICAL.match(core):
        return False
    return informative_words(core, people) >= _words_needed(core)


def states_result(sentence: str) -> bool:
    """Whether an assistant's sentence says how something ended, not what could be done."""
    plain = straight(sentence)
    return bool(_RESULT.search(plain)) and not is_question(plain) and not _OFFER.search(plain)


def _words_needed(core: str) -> float:
    if _ASIDE.match(core):
        return _MIN_IN_ASIDE
    if is_standing_wish(core):
        return 1
    if _COMMAND.match(core):
        return float("inf")
    return 1 if _FIRST_PERSON.search(core) else _MIN_ABOUT_OTHERS


def _without_opening(sentence: str, people: frozenset[str]) -> str:
    """A sentence behind its interjections and the name it addresses."""
    core = sentence
    for _ in range(_MAX_OPENINGS):
        opening = _OPENING.match(core) or _address(core, people)
        if opening is None:
            break
        core = core[opening.end() :]
    return core


def _address(core: str, people: frozenset[str]) -> re.Match[str] | None:
    match = _ADDRESS.match(core)
    return match if match and _is_person(match[1].casefold(), people) else None


def _is_person(word: str, people: frozenset[str]) -> bool:
    """Whether a word is a participant's name or short for one."""
    if word in people:
        return True
    return len(word) >= _MIN_NICKNAME and _begins_name(word, _in_order(people))


def _begins_name(word: str, names: Sequence[str]) -> bool:
    place = bisect_left(names, word)
    return place < len(names) and names[place].startswith(word)


@lru_cache(maxsize=64)
def _in_order(people: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(people))
