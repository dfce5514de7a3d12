"""What can give a secret away: looked for once in all texts that come together.

There are some 230 of them, and most stand nowhere in a conversation; without this each of its
texts would be searched for each of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pipelines.stages.redaction.secret_names import STEMS
from pipelines.stages.redaction.secret_shapes import STARTS, Start, lower

if TYPE_CHECKING:
    from collections.abc import Collection


class Clues(NamedTuple):
    """With what a secret's shape can start, and what a secret's name can hold."""

    starts: tuple[Start, ...]
    stems: tuple[str, ...]


ALL: Final = Clues(STARTS, STEMS)


# More is not copied for the sake of being quick.
_MOST_CHARS = 200_000


def find_clues(texts: Collection[str]) -> Clues:
    """Those that stand in any of these texts; where they are very long, all there are."""
    if sum(map(len, texts)) > _MOST_CHARS:
        return ALL
    lowered = lower("\n".join(texts))
    return Clues(
        tuple(start for start in STARTS if start.letters in lowered),
        tuple(stem for stem in STEMS if stem in lowered),
    )
