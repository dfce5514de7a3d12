"""Whether two statements of one subject say the same thing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.stages.dedup.normalise import statement_key
from pipelines.stages.dedup.reading import Reading, canonical, read
from pipelines.stages.dedup.veto import vetoes

if TYPE_CHECKING:
    from config.policy import DedupPolicy

_SHORTEST_ROOT = 4
_LONGEST_ENDING = 3


def is_duplicate(a: str, b: str, cosine: float, policy: DedupPolicy) -> bool:
    """Whether neither statement says anything that the other does not; symmetric.

    Equal keys are enough. Otherwise the vectors must be near, nothing may stand against it,
    and numbers, dates and words of substance must be the same up to synonyms and derivation:
    "has a dog" does not swallow "has a dog named Rex", however near they are. Times that are
    relative ("yesterday") are compared as words; when they were said is the caller's to know.
    """
    if statement_key(a) == statement_key(b):
        return True
    if cosine < policy.min_cosine or any(vetoes(a, b)):
        return False
    return _say_as_much(read(a), read(b))


def _say_as_much(a: Reading, b: Reading) -> bool:
    return (
        _has_substance(a)
        and _sizes(a) == _sizes(b)
        and a.figures.dates == b.figures.dates
        and a.repeated == b.repeated
        and not _left_over(a, b)
        and not _left_over(b, a)
    )


def _has_substance(reading: Reading) -> bool:
    """More than who speaks: "Ana: It really was!" leaves nothing to compare."""
    return len(reading.content) > reading.has_speaker


def _sizes(reading: Reading) -> set[tuple[str, str]]:
    return {quantity.size for quantity in reading.figures.quantities}


def _left_over(a: Reading, b: Reading) -> list[str]:
    """Words of ``a`` that ``b`` has neither as they are nor in a derived form."""
    names = {canonical(name) for name in a.names | b.names}
    strangers = b.content - a.content - names
    return [
        word
        for word in a.content - b.content - b.light
        if word in names or not any(_derived(word, other) for other in strangers)
    ]


def _derived(a: str, b: str) -> bool:
    """Stems of one root: play and player, allergic and allergy."""
    root, longer = sorted((a, b), key=len)
    return (
        len(root) >= _SHORTEST_ROOT
        and longer.startswith(root)
        and len(longer) - len(root) <= _LONGEST_ENDING
    )
