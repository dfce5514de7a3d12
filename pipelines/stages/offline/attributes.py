"""Attributes of the speaker that have one value at a time; a wrong one would retire truth.

Every pattern matches from the beginning of a clause in the first person about the present.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pipelines.stages.offline.phrases import (
    ADVERB,
    CLAUSE_END,
    END,
    I_AM,
    I_HAVE,
    LANGUAGE,
    MAYBE_WE,
    MONTH,
    MONTH_DAY,
    NAME,
    ONE_NAME,
    OWN,
    SOFT_END,
    WE,
    WE_ARE,
    WE_HAVE,
    WEEKDAY,
    rule,
)
from pipelines.stages.offline.places import is_town
from pipelines.stages.wordlist import any_of

if TYPE_CHECKING:
    from collections.abc import Callable


class Found(NamedTuple):
    """A value of an attribute in a clause, and where what states it ends there."""

    attribute: str
    value: str
    end: int


_PROFESSION = any_of(
    """
    engineer|developer|programmer|nurse|teacher|doctor|physician|lawyer|designer|manager|architect
    accountant|scientist|analyst|consultant|researcher|professor|electrician|plumber|chef
    pharmacist|dentist|journalist|photographer|librarian|veterinarian|paramedic|pilot|translator
    surgeon|psychologist|therapist|carpenter|mechanic|administrator|economist|biologist
    physiotherapist|midwife|firefighter|police officer|social worker|bookkeeper|technician
    barista|waiter|waitress|receptionist|recruiter|lecturer|baker|hairdresser|optician|vet
    solicitor|barrister|chemist|physicist|statistician|copywriter|data steward|team lead|tech lead
    """
)
_LEADER = (
    r"(?:head|director|vice president|VP|president|CEO|CTO|CFO|COO|CIO|CPO|managing director)"
    r"(?: of (?:the )?[\w-]+(?: [\w-]+)?)?"
)
# A former nurse is none, nor is "a bit of a doctor".
_NO_TITLE = r"(?!(?:[\w-]+\s+){0,3}?(?:former|ex|bit|fan|aspiring|future|would-be|amateur|of)\b)"
_TITLE = rf"{_NO_TITLE}(?P<value>(?:[\w-]+\s+){{0,3}}?{_PROFESSION}|{_LEADER})"
_WHEN = r"(?: (?:today|yesterday|last \w+|this \w+|in \w+|on \w+))?"
_IN_LANGUAGE = rf"in (?P<value>{LANGUAGE})"
_ANSWER = "(?:[Aa]nswer|[Rr]eply|[Rr]espond|[Ww]rite|[Ss]peak|[Tt]alk)"
_ANSWERS = "(?:answers|replies|responses|explanations)"
_STYLE = "(?P<value>short|long|brief|detailed|concise|terse|thorough|simple)"
_FROM_NOW = "(?: (?:only|please|always|from now on|to me|going forward|again))*"
_TO_ME = "(?: (?:to )?me)? (?:only )?"
_KINDLY = "(?:[Pp]lease )?(?:[Aa]lways )?"
_STARTED = (
    "(?:started at|(?:started|began) working (?:at|for)|(?:got|was) hired (?:at|by)"
    "|(?:got|found) a (?:new )?job (?:at|with))"
)
_MOVED_FROM = r"(?:moved|relocated) from (?P<origin>[A-Z][\w .]{1,30}?)"
_BY_TRADE = "(?! at heart)(?: by (?:trade|profession))?"
_I_PREFER = "I (?:really |strongly |now )?(?:prefer|like|want) (?:my |your |all )?"
_PROMOTED = r"(?:got promoted|was promoted|been promoted|retrained|got a job|started)"
_DIET = "(?P<value>vegan|vegetarian|pescatarian|pescetarian|flexitarian|omnivore)"
_PHONE_PLAN = r"(?:phone|mobile|cell|cellphone|data)(?: phone)? (?:plan|contract|tariff)"
_CHANGED = "(?i:switched|upgraded|downgraded|changed|moved)"
_PLAN_NAME = (
    r"(?:the |a |an |their )?(?P<value>[\w$\u20ac\u00a3.+-]+(?: [\w$\u20ac\u00a3.+-]+){0,3}?)"
)
_PLAN_END = (
    r"(?: one| plan| option)?(?=\s*(?:[,.;!]|$)| (?:from|with|at|for|today|now|yesterday)\b)"
)
_CARRIERS = any_of(
    r"""
    Vodafone|T-Mobile|Telekom|Verizon|AT&T|O2|Orange|EE|Sprint|Congstar|Telef[o\u00f3]nica|Movistar
    Mint Mobile|Google Fi|Airtel|Jio|Rogers|Telus|Telstra|Optus|Swisscom|Salt|Sunrise|Bouygues
    SFR|Iliad|Tesco Mobile|Giffgaff|giffgaff|Lebara|Lycamobile|Cricket|Visible|US Mobile|KPN|Telia
    Telenor|Yoigo|Free Mobile|Virgin Mobile|1&1|Aldi Talk|Fido|Bell|Sky Mobile|Vodacom|MTN
    """
)
_CARRIER = rf"(?P<value>{_CARRIERS})(?![\w-])"
_ON_PHONE = r"(?=.*\b(?:phone|mobile|cell|carrier|SIM|data)\b)"
_OF_CARRIER = rf"(?:from {_CARRIERS} to|to)"

_RULES = (
    rule("home city", rf"{WE}(?:live|reside) in {NAME}{CLAUSE_END}"),
    rule("home city", rf"{WE_ARE}(?:based|living|settled) in {NAME}{CLAUSE_END}"),
    rule("home city", rf"{WE_HAVE}(?:moved|relocated) (?:back )?to {NAME}{CLAUSE_END}"),
    rule("home city", rf"{WE_HAVE}{_MOVED_FROM} (?:back )?to {NAME}{CLAUSE_END}"),
    rule("employer", rf"I {ADVERB}work (?:at|for) (?!Christmas|Easter){NAME}{CLAUSE_END}"),
    rule("employer", rf"{I_AM}working (?:at|for) {NAME}{CLAUSE_END}"),
    rule("employer", rf"{I_HAVE}{_STARTED} {NAME}{CLAUSE_END}"),
    rule(
        "employer",
        rf"{I_HAVE}(?:changed|switched) (?:jobs|companies|employers),? ",
        rf"(?:from [A-Z][\w .&-]{{1,30}}? )?to {NAME}{CLAUSE_END}",
    ),
    rule(
        "employer",
        rf"{I_HAVE}left {ONE_NAME}(?: last \w+| in \w+| yesterday)? ",
        rf"(?:and (?:joined|started at)|to join) {NAME}{CLAUSE_END}",
    ),
    rule("employer", rf"{I_HAVE}joined {NAME} as an? \w+"),
    rule("employer", rf"{OWN} (?:new |current )?employer is {ADVERB}{NAME}{CLAUSE_END}"),
    rule("job title", rf"I {ADVERB}work as an? {_TITLE}{CLAUSE_END}"),
    rule("job title", rf"{I_AM}working as an? {_TITLE}{CLAUSE_END}"),
    rule("job title", rf"{I_AM}an? {_TITLE}{_BY_TRADE}{CLAUSE_END}"),
    rule("job title", rf"{I_AM}(?:the )?(?:new )?(?P<value>{_LEADER}){CLAUSE_END}"),
    rule("job title", rf"{I_HAVE}(?:became|become) (?:an? |the )?{_TITLE}{_WHEN}{CLAUSE_END}"),
    rule(
        "job title",
        rf"I(?:'ve| have)? ?{ADVERB}{_PROMOTED} (?:to|as) (?:an? )?{_TITLE}{CLAUSE_END}",
    ),
    rule(
        "job title",
        rf"[Mm]y (?:new )?(?:job )?title is {ADVERB}(?:an? )?(?P<value>[\w -]{{3,40}}){END}",
    ),
    rule("name", rf"[Mm]y name is {NAME}{CLAUSE_END}"),
    rule("name", rf"(?:[Pp]lease )?[Cc]all me (?!{WEEKDAY}|{MONTH}){NAME}{END}"),
    rule("age", r"I(?:'m| am) (?:now )?(?P<value>\d{1,3}) years old\b"),
    rule("age", rf"I (?:just )?turned (?P<value>\d{{1,3}}){_WHEN}{END}"),
    rule("birthday", rf"[Mm]y birthday is (?:on )?(?:the )?(?P<value>{MONTH_DAY}){SOFT_END}"),
    rule("time zone", r"[Mm]y time ?zone is (?:now )?(?P<value>[A-Z][\w/+:-]{1,40})"),
    rule(
        "marital status",
        rf"{I_AM}(?P<value>single|married|engaged|divorced|widowed|separated)",
        rf"(?: to {NAME.replace('value', 'spouse')})?{SOFT_END}",
    ),
    rule("marital status", rf"{WE_ARE}(?P<value>in a relationship)\b"),
    rule("marital status", rf"{WE}got (?P<value>married|engaged|divorced){_WHEN}{SOFT_END}"),
    rule("answer language", rf"{_KINDLY}{_ANSWER}{_TO_ME}{_IN_LANGUAGE}{_FROM_NOW}{SOFT_END}"),
    rule(
        "answer language", rf"{_KINDLY}(?:[Ss]peak|[Ww]rite) (?P<value>{LANGUAGE}) (?:to|with) me\b"
    ),
    rule("answer language", rf"{_I_PREFER}{_ANSWERS} {_IN_LANGUAGE}\b"),
    rule("answer style", rf"{_I_PREFER}{_STYLE}(?:er)? {_ANSWERS}\b"),
    rule("answer style", rf"{_KINDLY}[Kk]eep (?:your |the |all )?{_ANSWERS} {_STYLE}\b"),
    rule("diet", rf"{I_AM}(?:an? )?{_DIET}{CLAUSE_END}"),
    rule("diet", rf"{I_HAVE}(?:went|gone|turned|become|became) {_DIET}{_WHEN}{CLAUSE_END}"),
    rule(
        "diet",
        rf"I {ADVERB}(?:eat|started eating) (?P<value>(?:meat|everything|fish))",
        rf"(?: (?:again|now|too|every day))*{CLAUSE_END}",
    ),
    rule(
        "phone plan", rf"{OWN} (?:new |current )?{_PHONE_PLAN} is {ADVERB}{_PLAN_NAME}{_PLAN_END}"
    ),
    rule(
        "phone plan",
        rf"{MAYBE_WE}{_CHANGED} {OWN} {_PHONE_PLAN} (?:from [^,.]{{2,30}} )?to ",
        rf"{_PLAN_NAME}{_PLAN_END}",
    ),
    rule(
        "phone plan",
        rf"{WE_ARE}on (?:an? |the )?(?P<value>[\w.+-]+(?: [\w.+-]+){{0,2}}?) {_PHONE_PLAN}\b",
    ),
    rule(
        "phone plan",
        rf"{WE_ARE}on (?:an? |the )(?P<value>[\w.+-]+(?: [\w.+-]+){{0,2}}? plan)\b",
        r"(?=.*\b(?:for|on) my (?:phone|mobile|cell)\b)",
    ),
    rule(
        "PLAN",
        rf"{WE_ARE}on (?:an? |the |their )?(?P<value>[\w.+-]+(?: [\w.+-]+){{0,2}}?) (?:plan|tier) ",
        rf"(?:of|for|from|with|on|at) (?P<of>{ONE_NAME})",
    ),
    rule(
        "PLAN",
        rf"{MAYBE_WE}{_CHANGED} to (?:an? |the |their )?(?P<value>[\w.+-]+(?: [\w.+-]+){{0,2}}?)",
        rf" (?:plan|tier) (?:of|for|from|with|on|at) (?P<of>{ONE_NAME})",
    ),
    rule(
        "PLAN",
        rf"{MAYBE_WE}{_CHANGED} (?:our |my )?(?P<of>{ONE_NAME}) to (?:an? |the |their )?",
        r"(?P<value>[\w.+-]+(?: [\w.+-]+){0,2}?) (?:plan|tier)\b",
    ),
    rule(
        "PLAN",
        rf"{OWN} (?P<of>{ONE_NAME}) (?:plan|tier) is {ADVERB}(?:an? |the )?",
        rf"(?P<value>[\w.+-]+){SOFT_END}",
    ),
    rule(
        "VERSION",
        r"[Tt]he (?P<noun>(?:[\w-]+ ){1,3}?)(?:is |are )?(?:now )?(?:runs?|running|uses?|is|are) ",
        rf"(?:now )?(?:on )?(?P<of>{ONE_NAME}) (?P<value>v?\d+(?:\.\d+)*)(?![\w%])",
    ),
    rule(
        "VERSION",
        rf"{MAYBE_WE}(?i:upgraded|updated|moved|migrated|bumped) the (?P<noun>(?:[\w-]+ ){{1,3}}?)",
        rf"(?:from (?:{ONE_NAME} )?v?[\d.]+ )?to (?P<of>{ONE_NAME}) ",
        r"(?P<value>v?\d+(?:\.\d+)*)(?![\w%])",
    ),
    rule(
        "phone carrier",
        rf"{OWN} (?:new |current )?(?:phone|mobile|cell)? ?(?:carrier|network|provider)",
        rf" is {ADVERB}{_CARRIER}",
    ),
    rule("phone carrier", rf"{WE_ARE}with {_CARRIER}{_ON_PHONE}"),
    rule(
        "phone carrier",
        rf"{WE_HAVE}(?:switched|moved|changed)(?: carriers?| providers?)? {_OF_CARRIER} {_CARRIER}",
    ),
)
# Who "also" works somewhere works elsewhere too.
_BESIDE = re.compile(
    r"\b(?:also|too|as well|part[- ]time|on the side|sometimes|half the (?:week|time|year)"
    r"|during|on weekends|in (?:the )?(?:summers?|winters?)|temporarily|for a (?:few|couple))\b"
    r"|\b(?:in|back in) (?:19|20)\d\d\b",
    re.IGNORECASE,
)


def find_attribute(clause: str) -> Found | None:
    """The single-valued attribute that a clause states of its speaker."""
    for attribute, pattern in _RULES:
        match = pattern.match(clause)
        if match is None or _BESIDE.search(clause, 0, _head_end(clause, match.end())):
            continue
        if _CHECKS.get(attribute, _is_sure)(match):
            value = match["value"].strip().rstrip(".,!")
            return Found(_named(attribute, match), value, match.end())
    return None


def _named(attribute: str, match: re.Match[str]) -> str:
    """The attribute, with what it is of where that is said: "figma plan"."""
    if attribute == "PLAN":
        return f"{match['of'].casefold().rstrip('.')} plan"
    if attribute == "VERSION":
        return f"{match['noun']}{match['of']} version".casefold()
    return attribute


def _head_end(clause: str, end: int) -> int:
    """Where the clause proper ends: at the first comma behind what was read."""
    comma = clause.find(",", end)
    return len(clause) if comma < 0 else comma


def _is_sure(_: re.Match[str]) -> bool:
    return True


def _names_towns(match: re.Match[str]) -> bool:
    places = (match["value"], match.groupdict().get("origin"))
    return all(is_town(place.strip().rstrip(".,!")) for place in places if place)


_CHECKS: dict[str, Callable[[re.Match[str]], bool]] = {"home city": _names_towns}
