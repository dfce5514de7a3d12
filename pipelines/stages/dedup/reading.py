"""A statement taken apart into what a vector blurs: figures, names, denial, tense, roles."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING

from pipelines.stages.dedup import lexicon
from pipelines.stages.dedup.normalise import QUESTION_TOKEN, STOP_TOKEN, tokens
from pipelines.stages.dedup.quantities import Figures, read_figures
from pipelines.stages.stems import stem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_PERSONS = {
    "i": "user", "me": "user", "my": "user", "mine": "user", "users": "user",
    "him": "he", "them": "they", "us": "we",
}  # fmt: skip
_COMMON_ENDINGS = ("ed", "ing", "ly", "ment", "ments", "tion", "tions", "ness")


@dataclass(frozen=True, slots=True)
class Reading:
    """What two statements are compared by; every word in its canonical form.

    Attributes:
        said: All words in lower case, the user and the first person as ``user``.
        content: Canonical words of substance, without figures, names included.
        repeated: Those of them that stand there more than once.
        light: Canonical words that may be added or dropped without changing the truth.
        names: Words that are names by their capital.
        neighbours: Words of substance that follow each other.
        denials: How often something is denied.
        denied: The words of substance right after each denial.
        bound: Word and what it relates: (from, boston), (than, tea), (s, anna).
        has_speaker: It begins with who said it: "Ana: I moved to Porto."
        subject: Who acts; empty if the statement only says what somebody is.
        past, present: Verbs, or what looks like one, by the time they tell.
    """

    figures: Figures
    said: frozenset[str]
    content: frozenset[str]
    repeated: frozenset[str]
    light: frozenset[str]
    names: frozenset[str]
    neighbours: frozenset[tuple[str, str]]
    denials: int
    denied: frozenset[str]
    bound: frozenset[tuple[str, str]]
    subject: frozenset[str]
    past: frozenset[str]
    present: frozenset[str]
    is_question: bool
    has_speaker: bool


# Some 8 kB each.
@lru_cache(maxsize=1024)
def read(statement: str) -> Reading:
    """Take a statement apart."""
    words = tokens(statement)
    lowered = [_PERSONS.get(word.lower(), word.lower()) for word in words]
    figures = read_figures(words)
    names = _names(words, figures.spoken_for)
    substance = {
        position: canonical(lowered[position])
        for position in range(len(words))
        if position not in figures.spoken_for and _has_substance(lowered[position])
    }
    solid = [word for at, word in substance.items() if not _is_light(lowered[at])]
    denying = [at for at in range(len(lowered)) if _denies(lowered, at)]
    past, present = _tenses(lowered, set(substance) - names)
    return Reading(
        figures=figures,
        said=frozenset(lowered),
        content=frozenset(solid),
        repeated=frozenset(word for word, times in Counter(solid).items() if times > 1),
        light=frozenset(substance.values()) - frozenset(solid),
        names=frozenset(lowered[at] for at in names),
        neighbours=frozenset(pairwise(solid)),
        denials=len(denying),
        denied=frozenset(_following(lowered, substance, denying)),
        bound=frozenset(_bound(lowered, substance)),
        subject=_subject(lowered, names),
        past=past,
        present=present,
        is_question=QUESTION_TOKEN in words,
        has_speaker=words[1:2] == (STOP_TOKEN,),
    )


@lru_cache(maxsize=4096)
def canonical(word: str) -> str:
    """The stem of a word's base form, one for all its synonyms."""
    found = stem(_base(word))
    return _synonyms().get(found, found)


@lru_cache(maxsize=64)
def canonicals(words: frozenset[str]) -> frozenset[str]:
    """All of them in canonical form; asked again and again about the same set, it is kept."""
    return frozenset(map(canonical, words))


@lru_cache(maxsize=1)
def _synonyms() -> dict[str, str]:
    return {
        stem(word): stem(group.split()[0])
        for group in lexicon.SYNONYM_GROUPS
        for word in group.split()
    }


def _base(word: str) -> str:
    return lexicon.IRREGULAR_PAST.get(word) or lexicon.IRREGULAR_PLURAL.get(word, word)


def _has_substance(word: str) -> bool:
    return word not in lexicon.FUNCTION_WORDS and word not in {STOP_TOKEN, QUESTION_TOKEN, "user"}


def _is_light(word: str) -> bool:
    return word in lexicon.LIGHT_WORDS


def _names(words: Sequence[str], spoken_for: frozenset[int]) -> set[int]:
    """Positions of names; the first word of a sentence counts unless it is a common one."""
    return {
        position
        for position, word in enumerate(words)
        if position not in spoken_for and word[:1].isalpha() and _is_name(words, position)
    }


def _is_name(words: Sequence[str], position: int) -> bool:
    word, lowered = words[position], words[position].lower()
    if lowered in lexicon.FUNCTION_WORDS or lowered in lexicon.OPENERS or word == lowered:
        return False
    begins = position == 0 or words[position - 1] in {STOP_TOKEN, QUESTION_TOKEN}
    if not begins or word[1:] != lowered[1:]:
        return True
    return lowered not in lexicon.IRREGULAR_PAST and not lowered.endswith(_COMMON_ENDINGS)


def _denies(lowered: Sequence[str], position: int) -> bool:
    """Whether a word denies by itself: the "longer" of "no longer" does not."""
    word = lowered[position]
    if word not in lexicon.NEGATORS:
        return False
    if word not in lexicon.NEGATION_FILLERS:
        return True
    return word == "anymore" and not lexicon.NEGATORS & set(lowered[:position])


def _following(
    lowered: Sequence[str], substance: dict[int, str], places: Sequence[int]
) -> Iterator[str]:
    for place in places:
        for position in range(place + 1, len(lowered)):
            if lowered[position] in {STOP_TOKEN, QUESTION_TOKEN}:
                break
            if position in substance and lowered[position] not in lexicon.NEGATION_FILLERS:
                yield substance[position]
                break


def _bound(lowered: Sequence[str], substance: dict[int, str]) -> Iterator[tuple[str, str]]:
    for position, word in enumerate(lowered):
        if word in lexicon.RELATIONS:
            for bound in _next_word(lowered, substance, position):
                yield word, bound
        elif word == "s" and position:
            yield word, substance.get(position - 1, lowered[position - 1])


def _next_word(lowered: Sequence[str], substance: dict[int, str], place: int) -> Iterator[str]:
    for position in range(place + 1, len(lowered)):
        if lowered[position] in {STOP_TOKEN, QUESTION_TOKEN}:
            return
        word = lowered[position]
        if word == "user" or position in substance or word[0].isdigit():
            yield substance.get(position, word)
            return


def _subject(lowered: Sequence[str], names: set[int]) -> frozenset[str]:
    """Who acts: the first person or name without a preposition, or the one after "by"."""
    start = 2 if lowered[1:2] == [STOP_TOKEN] else 0
    people = [at for at in range(start, len(lowered)) if at in names or lowered[at] == "user"]
    if lexicon.COPULAS & set(lowered[start:]):
        return frozenset(lowered[at] for at in people if _before(lowered, at) == "by")
    first = next((at for at in people if _before(lowered, at) not in lexicon.PREPOSITIONS), None)
    if first is None:
        return frozenset()
    acting = {lowered[first]}
    while lowered[first + 1 : first + 2] == ["and"] and first + 2 in people:
        first += 2
        acting.add(lowered[first])
    return frozenset(acting)


def _before(lowered: Sequence[str], position: int) -> str:
    """The word before, an article skipped."""
    before = [word for word in lowered[:position] if word not in {"a", "an", "the"}]
    return before[-1] if before else ""


def _tenses(lowered: Sequence[str], places: set[int]) -> tuple[frozenset[str], frozenset[str]]:
    past = {word for word in lowered if word in lexicon.PAST_FORMS}
    told_past: set[str] = {"be"} if past else set()
    told_present: set[str] = {"be"} if lexicon.PRESENT_FORMS & set(lowered) else set()
    for at in places:
        word = lowered[at]
        if word in lexicon.LIGHT_WORDS or word in lexicon.TIMELESS:
            continue
        is_past = word.endswith("ed") or word in lexicon.IRREGULAR_PAST
        if is_past and lexicon.COPULAS & set(lowered[max(0, at - 2) : at]):
            continue
        (told_past if is_past or (word.endswith("ing") and past) else told_present).add(
            canonical(word)
        )
    return frozenset(told_past), frozenset(told_present)
