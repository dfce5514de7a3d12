"""Turns what is said of somebody else into the first person, so that the same patterns read it."""

from __future__ import annotations

import re
from typing import NamedTuple

from pipelines.stages.offline.phrases import CAPITAL
from pipelines.stages.wordlist import any_of, word_set


class AboutOther(NamedTuple):
    """A clause as its subject would say it.

    Attributes:
        subject: By name where it has one, else by its relation to the speaker.
        is_named: Whether ``subject`` is a name.
    """

    subject: str
    is_named: bool
    clause: str


_RELATION = any_of(
    """
    wife|husband|partner|spouse|fianc\u00e9e?|girlfriend|boyfriend|mother|mum|mom|father|dad|sister
    brother|son|daughter|aunt|uncle|cousin|niece|nephew|friend|best friend|roommate|flatmate
    colleague|coworker|co-worker|boss|manager|neighbou?r|grandmother|grandma|grandfather|grandpa
    mother-in-law|father-in-law|sister-in-law|brother-in-law|stepmother|stepfather|ex-wife|ex-husband
    """
)
# Of these one has several: without a name it is not said which of them is meant.
_SEVERAL = word_set(
    """
    sister brother son daughter aunt uncle cousin niece nephew friend roommate flatmate colleague
    coworker co-worker neighbor neighbour grandmother grandma grandfather grandpa
    sister-in-law brother-in-law
    """
)
_NAME = rf"{CAPITAL}[\w'-]*[\w]"
_VERB = any_of(
    """
    lives|works|is|has|eats|speaks|plays|uses|drives|moved|relocated|started|got|joined|switched
    turned|went|became|no longer|doesn't|does not|isn't|stopped|quit|resides|reports|smokes
    """
)
_OTHER = re.compile(
    rf"(?:(?:[Mm]y|[Oo]ur) (?P<relation>{_RELATION})(?:,? (?P<called>{_NAME}),?)?"
    rf"|(?P<name>{_NAME}))"
    rf" (?:has |have )?(?P<adverbs>(?:(?:now|just|recently|currently|still|finally|actually) )*)"
    rf"(?P<verb>{_VERB})\b(?P<rest>.*)",
    re.DOTALL,
)
_NO_NAMES = word_set(
    """
    I It This That There Here He She We You They Who What Everyone Everybody Someone Somebody Nobody
    One The A An My Our Your His Her Their Its These Those Dinner Lunch Breakfast Life Work Today
    Yesterday Tomorrow Monday Tuesday Wednesday Thursday Friday Saturday Sunday Nothing Everything
    Something And But So Which Where When Why How Not Just Also Still Now Then Only Even
    """
)
_AS_MINE = {
    "lives": "live", "works": "work", "is": "am", "has": "have", "eats": "eat",
    "speaks": "speak", "plays": "play", "uses": "use", "drives": "drive", "resides": "reside",
    "reports": "report", "smokes": "smoke", "doesn't": "don't", "does not": "don't",
    "isn't": "am not",
}  # fmt: skip


def find_other(clause: str) -> AboutOther | None:
    """Whom a clause is about, if not its speaker, and what it says of them in the first person."""
    match = _OTHER.match(clause)
    if match is None:
        return None
    name = match["called"] or match["name"]
    relation = match["relation"]
    if name in _NO_NAMES or (name is None and relation in _SEVERAL):
        return None
    verb = _AS_MINE.get(match["verb"], match["verb"])
    rest = _as_mine(match["rest"]) if match["verb"] == "no longer" else match["rest"]
    # "I am now vegan": the adverb goes behind "am".
    first = f"{verb} {match['adverbs']}".strip() if verb == "am" else f"{match['adverbs']}{verb}"
    return AboutOther(name or relation, name is not None, f"I {first}{rest}")


def _as_mine(rest: str) -> str:
    """What follows "no longer", with its verb in the first person."""
    verb, _, more = rest.strip().partition(" ")
    return f" {_AS_MINE.get(verb, verb)} {more}"
