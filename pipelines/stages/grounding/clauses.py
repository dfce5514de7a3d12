"""A text in clauses: of each what it says, whether it denies it, and of whom."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from pipelines.stages.dedup import lexicon
from pipelines.stages.dedup.normalise import tokens
from pipelines.stages.dedup.reading import canonical
from pipelines.stages.wordlist import phrase_pattern, straight, word_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


class Polarity(StrEnum):
    """What a clause does with its words."""

    AFFIRMED = "affirmed"
    DENIED = "denied"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Clause:
    """One clause; words of substance are in canonical form, in order, numbers in digits.

    Attributes:
        polarity: Open is what is asked, supposed or denied twice.
        head: The first word behind the denial, or the last one before it.
        lacks: That word if it is a thing that is said not to be there: "no balcony".
        actors: Whom it is about when that is not its speaker: "my sister", "she", "Karl".
        is_own: The speaker acts or suffers in it.
        is_addressed: It says something of whom it is said to.
        said: Every word in lower case.
    """

    words: tuple[str, ...]
    polarity: Polarity
    head: str | None
    lacks: str | None
    actors: frozenset[str]
    is_own: bool
    is_addressed: bool
    said: tuple[str, ...]

    @property
    def is_denied(self) -> bool:
        return self.polarity is Polarity.DENIED


# Negative in form, not in meaning.
_IDIOMS = phrase_pattern(
    r"""
    (?:can(?:'t|not)|could(?:n't| not)|hardly) (?:wait|believe|help but|get enough|agree more)
    (?:can(?:'t|not)|could(?:n't| not)) (?:complain|stress)
    could(?:n't| not) (?:\w+ )?be (?:more|any|happier|prouder|better)
    (?:no|without(?: a)?|not a) (?:doubts?|worries|problem|wonder|surprise|brainer|kidding|way)
    not (?:only|just|to mention|sure if you|long ago|too long ago|bad)
    never (?:been|felt|thought|imagined|knew|mind|seen|had) (?:so|better|more|happier|i)
    (?:wouldn't|won't) (?:miss|trade|change) (?:it|this|that)
    don't (?:forget|worry|give up|hesitate|miss|you|let)
    (?:never|not) forget
    why not|if not|or not|is(?:n't| not) it|are(?:n't| not) you|does(?:n't| not) it
    nothing (?:better|beats|like)|no (?:matter|longer just|one like)
    shouldn't i
    """
)
_BREAK = re.compile(
    r"(?P<hard>[.!?;:\n()\[\]\u2026]+(?=\s|$)|[;\n()\[\]\u2026]|\s[-\u2013\u2014]+\s|\u2014)"
    r"|,\s+(?P<joint>(?:and|or|nor)\s)?"
    r"|\s(?=(?:but|because|although|though|while|whereas|unless|if|which|who|where|when|"
    r"so that|until|instead of|rather than|without|except|excluding)\s)"
    r"|\s(?P<plain>and|or|nor)\s",
    re.IGNORECASE,
)
_ASKED = re.compile(r"[^?]*\?")
_NEITHER = frozenset({"if", "unless", "whether", "except", "excluding"})
_DENIERS = (lexicon.NEGATORS - lexicon.NEGATION_FILLERS - {"against"}) | word_set(
    """
    decline declines declined declining reject rejects rejected nicht kein keine keinen keiner nie
    niemals ohne nunca jam\u00e1s sin n\u00e3o nem jamais mai senza geen niet nooit inte aldrig
    """
)
# What is refused was there: "I got an offer, but I declined it" does not deny the offer.
_REFUSING = word_set(
    "decline declines declined declining reject rejects rejected refuse refuses refused down"
)
_LACKING = frozenset({"no", "without", "lack", "lacks", "lacking", "kein", "keine", "keinen"})
_GIVEN_UP = {
    "up": ("gave", "give", "gives", "given", "giving"),
    "down": ("turned", "turn", "turns"),
}
_CONTRAST = frozenset({"but", "though", "although", "while", "whereas", "only", "instead"})
_FIRST = frozenset({"i", "we", "me", "us", "myself", "ourselves"})
_LONGEST_ITEM = 4
_YOU = frozenset({"you", "your", "yours", "yourself"})
_POSSESSIVE = frozenset({"my", "our", "his", "her", "their", "your"})
_THIRD = frozenset({"he", "she"})
_EMPTY = word_set(
    """
    he she they you we my our your i me us them him if because although though will would can could
    should may might must unless whether until either both let lets any anything something someone
    everything everyone always still even ever already again since much many only gave give given
    giving up going gonna one ones instead rather else because there's let's
    """
)
_VERBAL = frozenset(
    {"am", "is", "are", "was", "were", "do", "does", "did", "have", "has", "had", "will", "would",
     "can", "could", "should", "may", "might", "must", "it", "that", "this", "you"}
)  # fmt: skip
PEOPLE = word_set(
    """
    mother mom mum father dad parents sister brother sisters brothers siblings son sons daughter
    daughters wife husband spouse partner girlfriend boyfriend fiance fiancee uncle aunt cousin
    cousins nephew niece grandmother grandma grandfather grandpa grandparents child children kid
    kids baby friend friends colleague colleagues coworker coworkers boss manager neighbour
    neighbor neighbours neighbors roommate roommates flatmate flatmates landlord landlady tenant
    tenants teacher doctor dentist therapist trainer coach client customer assistant intern twin
    twins ex stepson stepdaughter
    """
)


@lru_cache(maxsize=1024)
def read_clauses(text: str) -> tuple[Clause, ...]:
    """Take a text apart; a denial reaches through the items of a list, and to the clause's end."""
    plain = _IDIOMS.sub(" ", straight(text))
    clauses: list[Clause] = []
    for piece, is_joined in _pieces(plain):
        clause = _read(piece, clauses[-1] if is_joined and clauses else None)
        if clause is not None:
            clauses.append(clause)
    return tuple(clauses)


def _pieces(text: str) -> Iterator[tuple[str, bool]]:
    """Each stretch, and whether it may continue the one before."""
    start, is_joined = 0, False
    for cut in _BREAK.finditer(text):
        sign = cut["hard"] or ""
        yield text[start : cut.start()] + ("?" if "?" in sign else ""), is_joined
        start, is_joined = cut.end(), bool(cut["plain"]) or cut.group().startswith(",")
    yield text[start:], is_joined


def _read(piece: str, before: Clause | None) -> Clause | None:
    cased = [word for word in tokens(piece) if word[0].isalnum() or word == "?"]
    said = [word.lower() for word in cased]
    if not said:
        return None
    places = [at for at, word in enumerate(said) if _has_substance(word)]
    words = tuple(canonical(said[at]) for at in places)
    continues = before is not None and _continues(said)
    polarity, head = _denial(said, places)
    if continues and before is not None and polarity is Polarity.AFFIRMED:
        polarity = before.polarity
    actors, is_own = _actors(cased, said)
    is_addressed = not _YOU.isdisjoint(said)
    if before is not None and not actors and not is_own and not is_addressed:
        actors, is_own, is_addressed = before.actors, before.is_own, before.is_addressed
    lacks = head if polarity is Polarity.DENIED and _LACKING & set(said) else None
    return Clause(words, polarity, head, lacks, actors, is_own, is_addressed, tuple(said))


def _has_substance(word: str) -> bool:
    if word[0].isdigit():
        return True
    if word in lexicon.FUNCTION_WORDS or word in lexicon.LIGHT_WORDS:
        return False
    return word[0].isalpha() and word not in _EMPTY and word not in lexicon.NEGATORS


def _continues(said: Sequence[str]) -> bool:
    """Whether a stretch is a further item of a list rather than a clause of its own."""
    inner = set(said)
    if said[0].endswith("ed") or said[0] in lexicon.IRREGULAR_PAST:
        return False
    own = _POSSESSIVE | _FIRST | _THIRD | _VERBAL | _CONTRAST | {"they"}
    return len(said) <= _LONGEST_ITEM and not inner & own


def _denial(said: Sequence[str], places: Sequence[int]) -> tuple[Polarity, str | None]:
    if said[-1] == "?" or _NEITHER & set(said[:2]):
        return Polarity.OPEN, None
    denying = [at for at, word in enumerate(said) if word in _DENIERS]
    if not denying:
        gave_up = next((at for at in range(len(said) - 1) if _gives_up(said, at)), None)
        denying = [] if gave_up is None else [gave_up + 1]
    if not denying:
        return Polarity.AFFIRMED, None
    if len(denying) > 1:
        return Polarity.OPEN, None
    after = [at for at in places if at > denying[0]]
    before = [at for at in places if at < denying[0]]
    if said[denying[0]] in _REFUSING:
        return Polarity.DENIED, None
    at = after[0] if after else before[-1] if before else None
    return Polarity.DENIED, None if at is None else canonical(said[at])


def _gives_up(said: Sequence[str], at: int) -> bool:
    return any(said[at] in _GIVEN_UP.get(word, ()) for word in said[at + 1 : at + 3])


def _actors(cased: Sequence[str], said: Sequence[str]) -> tuple[frozenset[str], bool]:
    """Who acts, if not the speaker; and whether the speaker is in the clause at all."""
    if _FIRST & set(said):
        return frozenset(), True
    for at, word in enumerate(said):
        if word in _THIRD:
            return frozenset({word}), False
        if word in _POSSESSIVE and PEOPLE & set(said[at + 1 : at + 3]):
            following = said[at + 1 : at + 4]
            return frozenset(PEOPLE & set(following)) | _names(cased[at + 1 : at + 4]), False
        if word in _VERBAL or at > 3:  # noqa: PLR2004 - the subject stands first
            break
    return frozenset(), False


def _names(words: Iterable[str]) -> frozenset[str]:
    return frozenset(word.lower() for word in words if word[0].isupper())
