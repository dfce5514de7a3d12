"""Cuts a sentence into clauses that can be true or over without each other."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.stages.wordlist import straight

_CONJUNCTION = r"(?:and|but|so|because|since|plus|then|though|although|while|whereas)"
_PAUSE = r"(?:\s*(?:[,;:\u2026]|\.\.\.)|\s+[\u2013\u2014-])\s+"
_FINITE = (
    r"(?:is|are|was|were|has|have|had|got|will|can|do|does|did|\w+ed|lives?|works?|eats?|goes|comes"
    r"|wants?|needs?|likes?|loves?|hates?|says?|thinks?|makes?|runs?|commutes?|helps?|owns?|uses?"
    r"|plays?|speaks?|teaches|builds?|keeps?|takes?|gets?|gives?|looks?|feels?|seems?|starts?|went)"
)
_STARTER = (
    r"(?:(?:I|[Ww]e|[Hh]e|[Ss]he|[Tt]hey)(?:'\w+)?\s+\w"
    rf"|(?:[Mm]y|[Oo]ur|[Tt]he|[Hh]is|[Hh]er|[Tt]heir)\s+(?:[\w'-]+\s+){{1,5}}?{_FINITE}\b)"
)
_BOUNDARY = re.compile(
    rf"{_PAUSE}(?:{_CONJUNCTION}\s+)?(?={_STARTER})"
    rf"|\s+{_CONJUNCTION}\s+(?={_STARTER})"
    rf"|,\s+(?:but|so|because|since|which)\s+(?=[^,]*(?:\b{_FINITE}\b|'s\b|(?:\w+\s+){{3}}))"
)
_SUBJECT = re.compile(r"(?:[Mm]y|[Oo]ur) [\w' -]{2,30}|[A-Z][\w'-]+")
_HAS_VERB = re.compile(rf"\b{_FINITE}\b")
_SAYS_SOMETHING = re.compile(
    rf"\b(?:{_FINITE}|I|[Ww]e|[Hh]e|[Ss]he|[Tt]hey|[Mm]y|[Oo]ur|[Pp]lease|[Aa]lways|[Nn]ever|[Aa]nswer"
    r"|[Rr]eply|[Cc]all|[Kk]eep|[Uu]se|[Ss]top|[Dd]on't|it's)\b"
)


@dataclass(frozen=True, slots=True)
class Clause:
    """A part of a sentence that stands in it verbatim.

    Attributes:
        text: The whole part, with what leads into it ("For context, I'm a nurse").
        core: The clause proper, from its subject on.
    """

    text: str
    core: str
    start: int
    end: int


def split_clauses(sentence: str) -> list[Clause]:
    """The clauses of a sentence in order; what has no subject stays with its neighbour."""
    plain = straight(sentence)
    clauses: list[Clause] = []
    lead = start = 0
    for position, following in [*_cuts(plain), (len(plain), len(plain))]:
        if _is_one_subject(plain[start:position], plain[position:following]):
            continue
        if following < len(plain) and not _SAYS_SOMETHING.search(plain, start, position):
            # "For context," is no clause: it leads into the next one.
            start = following
            continue
        clauses.append(Clause(sentence[lead:position], sentence[start:position], lead, position))
        lead = start = following
    return clauses


def join_clauses(sentence: str, clauses: list[Clause]) -> str:
    """The stretch of a sentence from the first of these clauses to the last."""
    return sentence[clauses[0].start : clauses[-1].end].strip()


def _is_one_subject(left: str, between: str) -> bool:
    """Whether "and" only joins two subjects: "My sister and I live in Rome"."""
    is_noun = _SUBJECT.fullmatch(left.strip()) is not None and not _HAS_VERB.search(left)
    return between.strip() == "and" and is_noun


def _cuts(plain: str) -> list[tuple[int, int]]:
    return [(match.start(), match.end()) for match in _BOUNDARY.finditer(plain)]
