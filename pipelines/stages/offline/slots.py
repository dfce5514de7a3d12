"""Reads attributes that have one value at a time; a wrong one would retire truth, so few are read.

Every pattern matches a whole clause of the speaker about the present, without a condition.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.stages.dedup.numerals import in_digits
from pipelines.stages.offline.places import is_town
from pipelines.stages.wordlist import any_of, phrase_pattern, straight, word_set


@dataclass(frozen=True, slots=True)
class SlotValue:
    """An attribute of the speaker and its present value, both as short as they can be said."""

    attribute: str
    value: str


_END = r"\s*[.!]*\s*$"
_CLAUSE_END = (
    r"(?=\s*(?:[.,;!)]|$|(?:now|with|since|for|near|because|these|at|again|so|but|as|where|after"
    r"|until|last|this|and\s+(?:I|we|my|it|love|work|have))\b))"
)
_ADVERB = r"(?:(?:now|currently|still|actually|just|recently|finally|officially|also)\s+)?"
_NAME = r"(?P<value>[A-Z][\w.&'-]*(?:\s+(?:of|de|of\s+the)?\s*[A-Z][\w.&'-]*){0,3})"
_I_AM = rf"I(?:'m| am) {_ADVERB}"
_I_HAVE = rf"I(?:'ve| have)? ?{_ADVERB}"
_WE_HAVE = rf"(?:I|We)(?:'ve| have)? ?{_ADVERB}"
_WHEN = r"(?: (?:today|yesterday|last \w+|this \w+))?"
_MONTH_DAY = (
    r"(?:(?:\d{1,2}(?:st|nd|rd|th)?(?:\s+of)?\s+[A-Z][a-z]+"
    r"|[A-Z][a-z]+\s+\d{1,2}(?:st|nd|rd|th)?)(?:,?\s+\d{4})?)"
)
_PROFESSION = any_of(
    """
    engineer|developer|programmer|nurse|teacher|doctor|physician|lawyer|designer|manager|architect
    accountant|scientist|analyst|consultant|researcher|professor|electrician|plumber|chef
    pharmacist|dentist|journalist|photographer|librarian|veterinarian|paramedic|pilot|translator
    surgeon|psychologist|therapist|carpenter|mechanic|administrator|economist|biologist
    """
)
_TITLE = rf"(?P<value>(?:[\w-]+\s+){{0,3}}?{_PROFESSION})"
_LANGUAGE = any_of(
    """
    English|German|French|Spanish|Italian|Portuguese|Dutch|Polish|Russian|Ukrainian|Turkish|Arabic
    Hindi|Chinese|Mandarin|Japanese|Korean|Swedish|Danish|Norwegian|Finnish|Greek|Czech|Hungarian
    Romanian|Hebrew|Vietnamese|Thai|Indonesian|Catalan
    """
)
_IN_LANGUAGE = rf"in (?P<value>{_LANGUAGE})"
_ANSWER = "(?:[Aa]nswer|[Rr]eply|[Rr]espond|[Ww]rite|[Ss]peak|[Tt]alk)"
_ANSWERS = "(?:answers|replies|responses|explanations)"
_STYLE = "(?P<value>short|long|brief|detailed|concise|terse|thorough|simple)"
_FROM_NOW = "(?: (?:only|please|always|from now on|to me|going forward))*"
_TO_ME = "(?: (?:to )?me)? (?:only )?"
_KINDLY = "(?:[Pp]lease )?(?:[Aa]lways )?"

_STARTED = "(?:started|started working|began working|got hired|was hired)"
_MOVED_FROM = r"(?:moved|relocated) from (?P<origin>[A-Z][\w .]{1,30}?)"
_BY_TRADE = "(?! at heart)(?: by (?:trade|profession))?"
_I_PREFER = "I (?:really |strongly )?(?:prefer|like|want) (?:my |your |all )?"
_SIMPLE = tuple(
    (attribute, re.compile(pattern))
    for attribute, pattern in (
        ("home city", rf"(?:I|We) {_ADVERB}live in {_NAME}{_CLAUSE_END}"),
        ("home city", rf"(?:{_I_AM}|We(?:'re| are) )(?:based|living) in {_NAME}{_CLAUSE_END}"),
        ("home city", rf"{_I_HAVE}(?:moved|relocated) (?:back )?to {_NAME}{_CLAUSE_END}"),
        ("home city", rf"{_WE_HAVE}{_MOVED_FROM} (?:back )?to {_NAME}{_CLAUSE_END}"),
        ("employer", rf"I {_ADVERB}work (?:at|for) {_NAME}{_CLAUSE_END}"),
        ("employer", rf"{_I_HAVE}{_STARTED} (?:at|for) {_NAME}{_CLAUSE_END}"),
        ("job title", rf"I {_ADVERB}work as an? {_TITLE}{_CLAUSE_END}"),
        ("job title", rf"{_I_AM}an? {_TITLE}{_BY_TRADE}{_CLAUSE_END}"),
        ("job title", rf"[Mm]y (?:job )?title is (?:an? )?(?P<value>[\w -]{{3,40}}){_END}"),
        ("name", rf"[Mm]y name is {_NAME}{_CLAUSE_END}"),
        ("name", rf"(?:[Pp]lease )?[Cc]all me {_NAME}{_END}"),
        ("age", r"I(?:'m| am) (?:now )?(?P<value>\d{1,3}) years old\b"),
        ("age", rf"I (?:just )?turned (?P<value>\d{{1,3}}){_WHEN}{_END}"),
        ("birthday", rf"[Mm]y birthday is (?:on )?(?:the )?(?P<value>{_MONTH_DAY}){_END}"),
        ("time zone", r"[Mm]y time ?zone is (?P<value>[A-Z][\w/+:-]{1,40})"),
        ("marital status", rf"{_I_AM}(?P<value>single|married|engaged|divorced|widowed){_END}"),
        ("marital status", rf"I {_ADVERB}got (?P<value>married|engaged|divorced){_WHEN}{_END}"),
        ("answer language", rf"{_KINDLY}{_ANSWER}{_TO_ME}{_IN_LANGUAGE}{_FROM_NOW}{_END}"),
        ("answer language", rf"{_I_PREFER}{_ANSWERS} {_IN_LANGUAGE}\b"),
        ("answer style", rf"{_I_PREFER}{_STYLE}(?:er)? {_ANSWERS}\b"),
        ("answer style", rf"{_KINDLY}[Kk]eep (?:your |the |all )?{_ANSWERS} {_STYLE}\b"),
    )
)

_UNSURE = re.compile(
    rf"""\b{
        any_of(
            '''
        if|would|wish|used to|might|maybe|perhaps|was|were|not|no longer|never|unless|when i|until
        once|almost|nearly|hope|hoping|want|wanted|dream|imagine|pretend|joking|kidding|thinking
        could|should
        '''
        )
    }\b|n't\b|\?""",
    re.IGNORECASE,
)

_FAVOURITE = re.compile(
    r"[Mm]y (?:all-time |absolute |current )?fav(?:ou?rite|e)? (?P<noun>\w+(?:\s\w+){0,2}?)"
    rf" is (?:now )?(?P<value>[^,;:.!?()]{{2,50}}?){_END}"
)
_VAGUE_FAVOURITES = word_set("thing things part one ones way memory moment moments time times to")
_VAGUE_VALUE = phrase_pattern(
    r"""
    (?<![\w ])(?:when|how|that|to|because|being|getting|so|too|very|really|always|also|probably)
    (?<![\w ])(?:definitely|pretty|it|this|those|these|one of|still|here|on|in|by|from|a|an)
    (?<![\w ])the (?:one|way|fact|time|part)
    my|your|our|his|her|their|i|you|and|or|but|which|who|cuz|cause
    """
)
_NUMBER_OF = re.compile(
    r"(?:I|We)(?:'ve)? (?:now )?(?:have|got|have got) "
    r"(?P<count>\d{1,2}|two|three|four|five|six|seven|eight|nine|ten) "
    r"(?P<noun>dogs|cats|kids|children|siblings|brothers|sisters|sons|daughters|pets)(?: now)?"
    r"(?:\s*[.!]|$|\s*[,:] (?!and\b)|,? (?:named|called)\b)"
)

# "Our budget" is one thing; "our limit" is one only with a word that says of what.
_MEASURE = (
    r"(?P<noun>(?:[\w-]+\s+){0,3}?(?:budget|team\s+size|headcount|salary|rent|deadline|weight"
    r"|height|income|revenue|quota|allowance)"
    r"|(?:[\w-]+\s+){1,3}?(?:limit|price|cost|target|timeout|ttl|retention|version|port"
    r"|threshold|interval|capacity|size|period|window|frequency|rate))"
)
_UNIT = r"(?:%|[\w$\u20ac\u00a3/\u00b0]{1,20}(?:\s+(?:per|a|an|each|every|of)\s+\w+|\s+\w{1,12})?)"
_AMOUNT = rf"(?:[$\u20ac\u00a3]?\d[\d.,]*\s?{_UNIT}?)"
_MEASURED = re.compile(
    rf"(?:[Mm]y|[Oo]ur) {_MEASURE}"
    r"(?: (?:is|are)(?: now| currently)?| (?:just )?went (?:up|down) to|\s+RAISED)"
    r"(?: (?:about|around|roughly|exactly|set to))?"
    rf" (?P<value>{_AMOUNT}|{_MONTH_DAY}){_END}"
)
_RAISED = re.compile(
    rf"""\b(?:was|has\ been)\s+(?:just\s+|recently\s+)?{
        any_of(
            '''
        raised|increased|lowered|reduced|cut|changed|set|moved|extended|doubled|bumped
        '''
        )
    }\s+to\b""",
    re.IGNORECASE,
)


def find_slot(sentence: str) -> SlotValue | None:
    """The single-valued attribute that a sentence of its speaker surely states."""
    # A change of a measure is the one past form that tells the present.
    plain = _RAISED.sub("RAISED", straight(sentence))
    if _UNSURE.search(plain):
        return None
    for reader in (_read_measure, _read_simple, _read_favourite, _read_number):
        found = reader(plain)
        if found is not None:
            return found
    return None


def _read_measure(sentence: str) -> SlotValue | None:
    match = _MEASURED.match(sentence)
    if match is None:
        return None
    attribute = " ".join(match["noun"].casefold().split())
    return SlotValue(attribute, match["value"].strip().rstrip(".,!"))


def _read_simple(sentence: str) -> SlotValue | None:
    for attribute, pattern in _SIMPLE:
        match = pattern.match(sentence)
        if match and (attribute != "home city" or _names_towns(match)):
            return SlotValue(attribute, match["value"].strip().rstrip(".,!"))
    return None


def _names_towns(match: re.Match[str]) -> bool:
    places = (match["value"], match.groupdict().get("origin"))
    return all(is_town(place.strip().rstrip(".,!")) for place in places if place)


def _read_favourite(sentence: str) -> SlotValue | None:
    match = _FAVOURITE.match(sentence)
    if match is None or _VAGUE_VALUE.search(match["value"]):
        return None
    noun = match["noun"].casefold().replace("color", "colour")
    if _VAGUE_FAVOURITES.intersection(noun.split()):
        return None
    return SlotValue(f"favourite {noun}", match["value"].strip())


def _read_number(sentence: str) -> SlotValue | None:
    match = _NUMBER_OF.match(sentence)
    if match is None:
        return None
    noun = "children" if match["noun"] == "kids" else match["noun"]
    return SlotValue(f"number of {noun}", in_digits([match["count"]])[0])
