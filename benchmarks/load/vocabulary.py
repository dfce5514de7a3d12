"""Words that occur as words do: a few all the time, most of them hardly ever.

How many memories share a word with a question is what a search by words costs. On real
conversations (LoCoMo: 29 terms in a memory with its passage) a question shares one with a fifth of
them, by Zipf's law; sentences out of a dozen words would share one with nearly all.
"""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate, product
from random import Random

_SOUNDS = (
    "ba",
    "del",
    "fi",
    "gor",
    "ha",
    "jun",
    "kel",
    "lo",
    "mar",
    "nis",
    "pe",
    "rud",
    "sa",
    "tov",
)
_VERBS = tuple(
    """
    met saw called visited helped taught asked told phoned missed followed photographed joined
    thanked painted interviewed coached beat hosted hired trained filmed drew paid invited warned
    defended praised replaced impressed assisted surprised convinced escorted consulted rescued
    """.split()  # noqa: SIM905 - words read better in lines
)
_UNITS = ("minutes", "hours", "days", "euros", "kilometres", "weeks", "pages", "metres")


# As much flatter at the top as the words of a language are without the smallest ones.
_FLAT = 10


class _Zipf:
    """Draws the n-th word with a weight of 1 / (n + a constant) (Mandelbrot 1953)."""

    def __init__(self, words: list[str]) -> None:
        self._words = words
        self._sums = list(accumulate(1 / (rank + _FLAT) for rank in range(1, len(words) + 1)))

    def draw(self, dice: Random) -> str:
        return self._words[bisect(self._sums, dice.random() * self._sums[-1])]


def _invent(count: int, seed: str) -> list[str]:
    """So many words that look like some, in an order of their own."""
    made = ["".join(sounds) for sounds in product(_SOUNDS, repeat=3)]
    Random(seed).shuffle(made)
    return made[:count]


_verbs = _Zipf(list(_VERBS))
_people = _Zipf([name.capitalize() for name in _invent(400, "people")])
_places = _Zipf([name.capitalize() for name in _invent(600, "places")])
_things = _Zipf(_invent(2_000, "things"))


def say(dice: Random) -> str:
    """A sentence of some fifteen tokens; hardly any is ever said twice."""
    count, unit = dice.randint(2, 900), dice.choice(_UNITS)
    return f"I {_draw(dice)} for {count} {unit}, about the {_things.draw(dice)}."


def ask(dice: Random) -> str:
    """A question that such sentences answer."""
    return f"Who says that I {_draw(dice)} about the {_things.draw(dice)}?"


def _draw(dice: Random) -> str:
    verb, who, where = (words.draw(dice) for words in (_verbs, _people, _places))
    return f"{verb} {who} in {where}"
