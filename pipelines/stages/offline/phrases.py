"""The pieces from which patterns of attributes are put together."""

from __future__ import annotations

import re
from typing import NamedTuple

from pipelines.stages.wordlist import any_of


class Rule(NamedTuple):
    """A pattern of clauses, and the attribute that they state; its group ``value`` is the value."""

    attribute: str
    pattern: re.Pattern[str]


def rule(attribute: str, *parts: str) -> Rule:
    """The rule whose pattern is put together from these parts."""
    return Rule(attribute, re.compile("".join(parts)))


CAPITAL = r"[A-Z\u00c0-\u00de\u0100-\u017e]"
NAME = rf"(?P<value>{CAPITAL}[\w.&'+-]*(?:\s+(?:of|de|of\s+the)?\s*{CAPITAL}[\w.&'+-]*){{0,3}})"
ONE_NAME = rf"{CAPITAL}[\w.&'+-]*"
PERSON = rf"{CAPITAL}[\w'-]+(?:\s+{CAPITAL}[\w'-]+){{0,2}}"

ADVERB = (
    r"(?:(?:now|currently|still|actually|just|recently|finally|officially|even|so|again|already"
    r"|presently|mostly|only)\s+){0,2}"
)
NOW = r"(?:\s+(?:now|again|currently|these days|nowadays|at the moment|right now|instead))?"
I_AM = rf"I(?:'m| am) {ADVERB}"
WE_ARE = rf"(?:I(?:'m| am)|[Ww]e(?:'re| are)) {ADVERB}"
I_HAVE = rf"I(?:'ve| have)? ?{ADVERB}"
WE_HAVE = rf"(?:I|[Ww]e)(?:'ve| have)? ?{ADVERB}"
WE = rf"(?:I|[Ww]e) {ADVERB}"
# Dropped as in "Upgraded my plan today."
MAYBE_WE = rf"(?:(?:I|[Ww]e)(?:'ve| have)? ?)?{ADVERB}"
OWN = r"(?:[Mm]y|[Oo]ur)"

WEEKDAY = "(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?"
MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_DAY_NUMBER = r"\d{1,2}(?:st|nd|rd|th)?"
MONTH_DAY = rf"(?:(?:{_DAY_NUMBER}(?:\s+of)?\s+{MONTH}|{MONTH}\s+{_DAY_NUMBER})(?:,?\s+\d{{4}})?)"
CLOCK = r"(?:\d{1,2}(?:[:.]\d\d)?(?:\s?[ap]\.?m\b\.?)?|noon|midnight)"
DAY = (
    rf"(?:{MONTH_DAY}|\d{{4}}-\d\d-\d\d|(?:the\s+)?{_DAY_NUMBER}\s+of\s+{MONTH}"
    rf"|(?:next\s+|every\s+|on\s+)?{WEEKDAY}(?:\s+(?:at|from)\s+{CLOCK})?"
    r"|(?:at\s+)?\d{1,2}[:.]\d\d(?:\s?[ap]\.?m\b\.?)?|\d{1,2}\s?[ap]m\b"
    rf"|(?:early|mid|late)[ -]{MONTH}|(?:the\s+)?end\s+of\s+{MONTH}|Q[1-4](?:\s+\d{{4}})?)"
)
_UNIT = r"(?:%|[\w$\u20ac\u00a3/\u00b0]{1,20}(?:\s+(?:per|a|an|each|every|of)\s+\w+|\s+\w{1,12})?)"
AMOUNT = rf"(?:[$\u20ac\u00a3]?\d[\d.,]*(?<![.,])\s?{_UNIT}?|v\d[\d.]*(?<!\.))"

# A value ends with its clause, or where the clause goes on with what does not change it.
END = r"\s*[.!]*\s*$"
SOFT_END = rf"(?=\s*(?:[.!;,)]|$)|{NOW}\s*(?:[.!;,)]|$))"
_GOING_ON = any_of(
    rf"""
    now|with|since|for|near|because|these|at|again|so|but|as|where|after|until|last|this|instead
    nowadays|today|yesterday|recently|on|over|from|by the way|btw|close to|next to|right now
    (?:a|two|three|four|six|eight|ten|a few|a couple of|\d+) (?:days?|weeks?|months?|years?)
    in (?:{MONTH}|the (?:spring|summer|autumn|fall|winter|end|meantime))
    in (?:the|a|an|our|their)|the same (?:day|week|month|year)
    to (?:study|be|live|start|work)
    and\s+(?:I|we|my|it|love|work|have)
    """
)
CLAUSE_END = rf"(?=\s*(?:[.,;!)]|$|{_GOING_ON}\b))"

LANGUAGE = any_of(
    """
    English|German|French|Spanish|Italian|Portuguese|Dutch|Polish|Russian|Ukrainian|Turkish|Arabic
    Hindi|Chinese|Mandarin|Japanese|Korean|Swedish|Danish|Norwegian|Finnish|Greek|Czech|Hungarian
    Romanian|Hebrew|Vietnamese|Thai|Indonesian|Catalan|Cantonese|Croatian|Serbian|Bulgarian|Urdu
    Persian|Farsi|Bengali|Tamil|Telugu|Swahili|Tagalog|Malay|Slovak|Slovenian|Estonian|Latvian
    Lithuanian|Icelandic|Irish|Welsh|Basque|Galician|Albanian|Georgian|Armenian|Punjabi|Latin
    """
)
COUNT = r"(?:\d{1,2}|one|two|three|four|five|six|seven|eight|nine|ten)"
ANIMAL = any_of(
    """
    dog|puppy|cat|kitten|parrot|rabbit|bunny|hamster|guinea pig|horse|pony|goldfish|fish|turtle
    tortoise|snake|lizard|gecko|bird|canary|budgie|ferret|rat|mouse|chicken|duck|goat|donkey
    labrador|poodle|beagle|retriever|golden retriever|dachshund|terrier|corgi|greyhound|husky
    """
)
VEHICLE = any_of(
    """
    car|van|truck|motorbike|motorcycle|scooter|moped|camper|campervan|boat|e-bike|bike|bicycle
    """
)
