"""What "my", "our" or a named thing is: budgets, deadlines, meetings, managers, favourites, counts.

The attribute is named as the speaker names it, so that two deadlines never meet in one slot.
"""

from __future__ import annotations

import re

from pipelines.stages.dedup.numerals import in_digits
from pipelines.stages.offline.attributes import Found
from pipelines.stages.offline.phrases import (
    ADVERB,
    AMOUNT,
    ANIMAL,
    CAPITAL,
    COUNT,
    DAY,
    END,
    NAME,
    NOW,
    OWN,
    PERSON,
    SOFT_END,
)
from pipelines.stages.wordlist import phrase_pattern, word_set

# "Our budget" is one thing; "our limit" is one only with a word that says of what.
_AMOUNT_NOUN = (
    r"(?:(?:[\w-]+\s+){0,3}?(?:budget|team\s+size|headcount|salary|rent|weight"
    r"|height|income|revenue|quota|allowance)"
    r"|(?:[\w-]+\s+){1,3}?(?:limit|price|cost|target|timeout|ttl|retention|version|port"
    r"|threshold|interval|capacity|size|period|window|frequency|rate))"
)
_DATED_NOUN = (
    r"(?:deadline|due date|launch|release|go-live|launch date|release date|go-live date"
    r"|start date|end date|move-in date|wedding|exam|meeting|stand-?up|sync|retro(?:spective)?"
    r"|check-in|review|one-on-one|one-to-one|1:1|1-on-1|book club|appointment|lesson|class"
    r"|therapy|rehearsal|practice|training|interview|demo|kick-?off|call|checkup|check-up"
    r"|viewing|surgery|flight|trip|party)"
)
_WITH = rf"(?:\s+with\s+(?:{PERSON}|the\s+\w+))"
_FOR = r"(?:\s+(?:for|of)\s+(?:the\s+|my\s+|our\s+)?(?P<for>[\w'-]+(?:\s+[\w'-]+){0,3}?))"
_NO_MODIFIER = (
    r"(?i:the|my|our|your|his|her|their|an?|it|if|i|we|they|he|she|this|that|these|those|no|any"
    r"|some)"
)
# "The deadline" alone could be any; with a word that says whose, or as mine, it is one.
_DATED = (
    rf"(?:(?:{OWN}\s+(?P<own>(?:[\w'-]+\s+){{0,3}}?{_DATED_NOUN})|(?:[Tt]he\s+)?(?P<named>"
    rf"(?!{_NO_MODIFIER}\b)(?:[\w'-]+\s+){{1,3}}?{_DATED_NOUN}|book club"
    r"|(?:launch|release|go-live) date))"
    rf"(?P<with>{_WITH})?|(?:[Tt]he|{OWN})\s+(?P<bare>deadline|due date|launch|release){_FOR}?)"
)
_IS = (
    r"(?:\s+(?:is|are)(?:\s+(?:now|currently|actually))?(?:\s+(?:back|set|due|scheduled))?"
    r"(?:\s+(?:to|for|on|at|every|about|around|roughly|exactly|up to))?)"
)
_HAS_BEEN = r"(?:(?:was|is|has been|have been|got|gets|just got)\s+)?(?:just\s+|recently\s+)?"
_MOVED = (
    rf"(?:\s+{_HAS_BEEN}(?:moved|pushed|slipped|postponed|rescheduled|shifted|changed|extended"
    r"|delayed|brought forward|went|grew|shrank|rose|fell|dropped|raised|increased|lowered|reduced"
    r"|cut|set|doubled|bumped|put back|put off)"
    r"(?:\s+(?:back|again|out|forward|up|down|once more))*)"
)
_TO = r"(?:\s+(?:to|until|till)(?:\s+be)?(?:\s+on)?)"
_IT_IS = r"(?:(?:\s*,\s*|\s+and\s+|\s+so\s+)?(?:it's|it is|now it's|and it's)(?:\s+now)?(?:\s+on)?)"


def _moves(value: str) -> str:
    """The ways to say that something is, or was moved to, a value."""
    origin = rf"(?:\s+from\s+{value})?"
    return rf"(?:{_MOVED}{origin}{_TO}|{_MOVED}{origin}{_IT_IS}|(?P<is>{_IS}))"


_DAY_VALUE = rf"\s+(?P<value>{DAY})"
_AMOUNT_VALUE = rf"\s+(?P<value>{AMOUNT})"
_VALUE_END = rf"(?:{NOW}\s*(?=[.!;,)]|$))"
_AGENT = (
    rf"(?:They|We|I|He|She|[Tt]he\s+\w+|{OWN}\s+\w+|{CAPITAL}\w+)\s+(?:have\s+|has\s+)?"
    rf"(?:just\s+|again\s+)?"
)
_PUT = (
    r"(?:moved|pushed|postponed|rescheduled|shifted|changed|extended|delayed|raised|increased"
    r"|lowered|reduced|cut|bumped|set)(?:\s+(?:back|forward|out|up|down))?"
)
_BACK = r"(?:\s+(?:back|again|forward|out|up|down))*"
_AMOUNTS = (
    re.compile(rf"{OWN}\s+(?P<own>{_AMOUNT_NOUN}){_moves(AMOUNT)}{_AMOUNT_VALUE}{_VALUE_END}"),
    re.compile(
        rf"{_AGENT}{_PUT}\s+{OWN.lower()}\s+(?P<own>{_AMOUNT_NOUN}){_BACK}"
        rf"(?:\s+from\s+{AMOUNT})?{_TO}{_AMOUNT_VALUE}{_VALUE_END}"
    ),
)
_DAYS = (
    re.compile(rf"{_DATED}{_moves(DAY)}{_DAY_VALUE}{_VALUE_END}"),
    re.compile(
        rf"{_AGENT}{_PUT}\s+{_DATED}{_BACK}(?:\s+from\s+{DAY})?{_TO}{_DAY_VALUE}{_VALUE_END}"
    ),
)
_NO_QUALIFIER = word_set(
    """
    this that first second third last next previous old former other another final whole same
    entire only new current original latest one today's tomorrow's yesterday's monday's friday's
    """
)
# "My exam is on Monday" may be one of several; one that was moved was known before.
_ONE_OFF = word_set(
    """
    exam interview appointment call flight trip viewing party meeting class lesson review demo
    checkup check-up check-in training practice rehearsal
    """
)
_SKIPPED_QUALIFIERS = word_set("new current final original latest")

_HOLDER = (
    r"(?P<own>(?:line |direct )?manager|boss|supervisor|team lead|tech lead|landlord|landlady"
    r"|dentist|therapist|GP|family doctor|husband|wife|girlfriend|boyfriend|fianc\u00e9e?|bank|gym"
    r"|phone|laptop|car|school|university|editor|browser|insurer|internet provider"
    r"|electricity provider|operating system|nickname)"
)
_HELD = (
    re.compile(
        rf"{OWN} (?:new |current |present )?{_HOLDER} is {ADVERB}(?:an? |the |called |named )?"
        rf"{NAME}(?!\s+(?:and|or)\s+[A-Z])(?=\s*(?:[.,;!)]|$)|\s+(?:now|and|from|at|since|who|because|so)\b)"
    ),
    re.compile(rf"I {ADVERB}report to {NAME}(?=\s*(?:[.,;!)]|$)|\s+(?:now|these days|since)\b)"),
    re.compile(rf"{NAME} is (?:now )?{OWN} (?:new |current )?{_HOLDER}{SOFT_END}"),
    re.compile(
        rf"{NAME} (?:has )?(?:took|taken|replaced|succeeded)(?: over)?(?: from)?(?: {PERSON})?"
        rf" as {OWN} (?:new )?{_HOLDER}{SOFT_END}"
    ),
)
_ADDRESS = re.compile(
    rf"(?:[\w ]+\s)?{OWN} (?:new |current )?(?P<own>(?:\w+ )?address)\b"
    r"(?:[\w ]{0,20}, it's| is)(?: now)? (?P<value>(?=[^.!?;]*\d)[A-Z\d][^!?;]{4,80}?)"
    r"(?=\s*[.!;]\s*$|\s*$|,\s+[a-z])"
)
_FAVOURITE = re.compile(
    r"[Mm]y (?:all-time |absolute |current |new )?fav(?:ou?rite|e)? (?P<noun>\w+(?:\s\w+){0,2}?)"
    r"(?: these days| right now| nowadays| at the moment)?"
    rf" is (?:now |currently )?(?P<value>[^,;:.!?()]{{2,50}}?){NOW}{END}"
)
_VAGUE_FAVOURITES = word_set("thing things part one ones way memory moment moments time times to")
_VAGUE_VALUE = phrase_pattern(
    r"""
    (?<![\w ])(?:when|how|that|to|because|being|getting|so|too|very|really|always|also|probably)
    (?<![\w ])(?:definitely|pretty|it|this|those|these|one of|still|here|on|in|by|from)
    (?<![\w ])the (?:one|way|fact|time|part)
    my|your|our|his|her|their|i|you|and|or|but|which|who|cuz|cause
    """
)
_COUNTED = (
    rf"(?P<noun>dogs?|cats?|kids?|child(?:ren)?|siblings?|brothers?|sisters?|sons?|daughters?"
    rf"|pets?|{ANIMAL}s?)"
)
_NUMBER_OF = re.compile(
    r"(?:(?:I|[Ww]e)(?:'ve)? (?:now )?(?:have|got|have got|own|only have|still have)"
    r"|(?:I'm|[Ww]e're|I am|[Ww]e are) (?:now )?(?:down to|up to))"
    rf" (?:only )?(?P<count>{COUNT}) {_COUNTED}(?: now| left| again)?"
    r"(?:\s*[.!]|$|\s*[,:] (?!and\b)|,? (?:named|called)\b)"
)
_NTH = re.compile(
    r"(?:I|[Ww]e)(?:'ve| have)? (?:just |now )?(?:got|have|adopted|bought|had|welcomed)"
    rf" (?:an?|our|my) (?P<count>second|third|fourth|fifth|sixth) {_COUNTED}(?: now)?{SOFT_END}"
)
_NTH_COUNTS = {"second": "2", "third": "3", "fourth": "4", "fifth": "5", "sixth": "6"}
_PLURALS = {"kid": "children", "child": "children"}


def find_measure(clause: str) -> Found | None:
    """What a clause says that something of the speaker is, or was moved to."""
    for reader in (_read_amount, _read_day, _read_holder, _read_address, _read_favourite,
                   _read_number):  # fmt: skip
        found = reader(clause)
        if found is not None:
            return found
    return None


def _read_amount(clause: str) -> Found | None:
    match = _first_match(_AMOUNTS, clause)
    return _found(match, match["own"]) if match else None


def _read_day(clause: str) -> Found | None:
    match = _first_match(_DAYS, clause)
    if match is None:
        return None
    noun = match["own"] or match["named"] or f"{match['for'] or ''} {match['bare']}"
    words = [word for word in noun.casefold().split() if word not in _SKIPPED_QUALIFIERS]
    if _NO_QUALIFIER.intersection(words):
        return None
    is_moved = not match.groupdict().get("is")
    if _ONE_OFF.issuperset(words) and not match["with"] and not is_moved:
        return None
    return _found(match, " ".join(words) + " ".join(["", *(match["with"] or "").split()]))


def _read_holder(clause: str) -> Found | None:
    match = _first_match(_HELD, clause)
    return _found(match, match.groupdict().get("own") or "manager") if match else None


def _read_address(clause: str) -> Found | None:
    match = _ADDRESS.match(clause)
    return _found(match, match["own"].removeprefix("new ")) if match else None


def _read_favourite(clause: str) -> Found | None:
    match = _FAVOURITE.match(clause)
    if match is None or _VAGUE_VALUE.search(match["value"]):
        return None
    noun = match["noun"].casefold().replace("color", "colour")
    if _VAGUE_FAVOURITES.intersection(noun.split()):
        return None
    return Found(f"favourite {noun}", match["value"].strip(), match.end())


def _read_number(clause: str) -> Found | None:
    match = _NUMBER_OF.match(clause) or _NTH.match(clause)
    if match is None:
        return None
    noun = match["noun"].removesuffix("s") if match["noun"] != "children" else "child"
    plural = _PLURALS.get(noun, f"{noun}s")
    count = _NTH_COUNTS.get(match["count"]) or in_digits([match["count"]])[0]
    return Found(f"number of {plural}", count, match.end())


def _first_match(patterns: tuple[re.Pattern[str], ...], clause: str) -> re.Match[str] | None:
    return next((match for pattern in patterns if (match := pattern.match(clause))), None)


def _found(match: re.Match[str], attribute: str) -> Found:
    name = " ".join(attribute.casefold().split())
    return Found(name, match["value"].strip().rstrip(".,!"), match.end())
