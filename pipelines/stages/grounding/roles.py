"""Whether a statement gives somebody what its quote says of somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.stages.dedup.normalise import tokens
from pipelines.stages.dedup.reading import canonical, canonicals
from pipelines.stages.grounding.clauses import PEOPLE, Clause, read_clauses
from pipelines.stages.wordlist import word_set

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

_SPEAKER = "@speaker"
_OWNER = frozenset({"user", "i", "we", "me", "us"})
_PRONOUNS = frozenset({"he", "she"})
# Said of two, they hold both ways round.
_MUTUAL = word_set("meet marri talk date engag share live togeth friend plai like train studi met")


def takes_over(statement: str, speakers: Collection[str], quoted: Sequence[Clause]) -> bool:
    """Whether the speaker is given what the quote says of a relative, or of "him" or "her".

    Args:
        statement: As it was proposed.
        speakers: The words of the speaker's name, in lower case.
        quoted: The clauses of the quote's sentences.
    """
    said = [word.lower() for word in tokens(statement)]
    if not _begins_with_speaker(said, speakers) or PEOPLE & set(said):
        return False
    nearest = closest(read_clauses(statement), quoted)
    if not nearest or not all(clause.actors for clause in nearest):
        return False
    return not any(clause.actors & set(said) for clause in nearest)


def _begins_with_speaker(said: Sequence[str], speakers: Collection[str]) -> bool:
    start = 1 if said[:1] == ["the"] else 0
    is_speaker = said[start : start + 1] and said[start] in _OWNER | frozenset(speakers)
    return bool(is_speaker) and said[start + 1 : start + 2] != ["s"]


def closest(
    stated: Sequence[Clause], quoted: Sequence[Clause], names: Iterable[str] = ()
) -> list[Clause]:
    """The clauses that share most words with a statement; none if none shares any.

    The names do not count.
    """
    words = {word for clause in stated for word in clause.words} - canonicals(frozenset(names))
    shared = [len(words.intersection(clause.words)) for clause in quoted]
    most = max(shared, default=0)
    return [clause for clause, count in zip(quoted, shared, strict=True) if count == most > 0]


def swaps_roles(
    stated: Sequence[Clause],
    quoted: Sequence[Clause],
    speakers: Collection[str],
    names: Collection[str],
) -> bool:
    """Whether who did it and to whom change places: "Vera beat Paul", "Paul beat Vera"."""
    return any(_swapped(clause, other, speakers, names) for clause in stated for other in quoted)


def _swapped(one: Clause, other: Clause, speakers: Collection[str], names: Collection[str]) -> bool:
    if "by" in one.said or "by" in other.said:
        return False
    for verb in set(one.words).intersection(other.words) - _MUTUAL:
        before, after = _around(one, verb, speakers, names)
        heard_before, heard_after = _around(other, verb, speakers, names)
        before, after = before - _PRONOUNS, after - _PRONOUNS
        if before & heard_before or not before & heard_after:
            continue
        if after & heard_before or (after and heard_before & _PRONOUNS):
            return True
    return False


def _around(
    clause: Clause, verb: str, speakers: Collection[str], names: Collection[str]
) -> tuple[set[str], set[str]]:
    """The people before and behind a word of a clause."""
    at = next((at for at, word in enumerate(clause.said) if canonical(word) == verb), 0)
    if clause.said[at] in names:
        return set(), set()
    return (
        set(_people(clause.said[:at], speakers, names)),
        set(_people(clause.said[at + 1 :], speakers, names)),
    )


def _people(
    said: Iterable[str], speakers: Collection[str], names: Collection[str]
) -> Iterable[str]:
    for word in said:
        if word in _OWNER or word in speakers:
            yield _SPEAKER
        elif word in names or word in _PRONOUNS:
            yield word
