"""Says what does not hold any more: "I no longer work at Acme", "I cancelled Netflix".

Most endings deny a clause; it is turned into what it denies and read as that. Where only its
plain negation is said ("I don't speak French"), nothing may follow that could limit it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pipelines.stages.offline.phrases import (
    ANIMAL,
    CAPITAL,
    I_AM,
    I_HAVE,
    LANGUAGE,
    MAYBE_WE,
    NAME,
    OWN,
    PERSON,
    SOFT_END,
    VEHICLE,
    WE,
    WE_HAVE,
    rule,
)

if TYPE_CHECKING:
    from collections.abc import Callable


class Denied(NamedTuple):
    """A clause in its positive form.

    Attributes:
        is_plain: It is only negated; "any more" is not said.
    """

    clause: str
    is_plain: bool


class Ended(NamedTuple):
    """An attribute of which a value ended; without a value, whichever it has."""

    attribute: str
    value: str | None


_ANY_MORE = re.compile(r"\s*,?\s*\b(?:any ?more|any longer)\b", re.IGNORECASE)
_AT_ALL = re.compile(r"\s+\b(?:at|after) all\b")
_ADVERBS = r"(?:(?:actually|really|even|currently|just|sadly|finally|unfortunately|also) )*"
_NO_LONGER = re.compile(
    rf"(?P<who>I|[Ww]e)(?P<be>'m| am|'re| are)? {_ADVERBS}no longer (?P<rest>\S.*)", re.DOTALL
)
_NOT = re.compile(
    rf"(?P<who>I|[Ww]e)(?: {_ADVERBS})? ?(?:(?P<be>'m| am|'re| are) {_ADVERBS}not"
    rf"| ?{_ADVERBS}(?:don't|do not)) {_ADVERBS}(?P<rest>\S.*)",
    re.DOTALL,
)
_STOPPED = re.compile(
    r"(?P<who>I|[Ww]e)(?:'ve| have)? ?(?:(?:just|finally|recently|also|completely) )*"
    r"(?:stopped|quit|gave up|given up) (?P<verb>\w+ing)\b(?P<rest>.*)",
    re.DOTALL,
)
_USED_TO = re.compile(
    r"(?P<who>I|[Ww]e) used to (?P<rest>(?:work|live|be|use|speak|play|have)\b.*)"
)
_OWN_NOT = re.compile(
    rf"(?P<own>{OWN} [\w -]{{2,40}}?) (?P<be>is|are)(?P<how> no longer| not|n't) (?P<rest>\S.*)",
    re.DOTALL,
)
_NAMED_NOT = re.compile(
    rf"(?P<name>{PERSON}) (?:is|'s)(?P<how> no longer| not|n't) (?P<own>{OWN} [\w -]{{2,30}}?)"
    rf"(?P<more>(?: any ?more| any longer)?){SOFT_END}"
)
_ANSWER = r"(?P<rest>(?:answer|reply|respond|write|speak|talk)(?: to me)? in \w+)"
_NO_ANSWER = re.compile(
    rf"(?:[Yy]ou (?:don't|do not) (?:have|need) to|(?:[Pp]lease )?(?:[Dd]on't|[Dd]o not)) {_ANSWER}"
    r"(?P<more>.*)"
)
_STOP_ANSWERING = re.compile(
    r"(?:[Pp]lease )?[Ss]top (?:answering|replying|responding|writing|speaking|talking)"
    rf"(?: to me)? in (?P<language>{LANGUAGE})"
)
_BASE_FORMS = {
    "being": "am", "doing": "do", "drinking": "drink", "driving": "drive", "eating": "eat",
    "going": "go", "having": "have", "learning": "learn", "living": "live", "playing": "play",
    "practicing": "practice", "practising": "practise", "smoking": "smoke", "speaking": "speak",
    "taking": "take", "using": "use", "vaping": "vape", "working": "work", "running": "run",
    "paying": "pay", "subscribing": "subscribe",
}  # fmt: skip

_JOB = r"my (?:full-time )?job"
_AT = rf"(?:\s+(?:at|with|for|from)\s+{NAME})?(?!\s+(?:at|with|for|from|by|as)\b)"
_WHEN = r"(?: (?:today|yesterday|last \w+|this \w+|in [A-Z]\w+|on [A-Z]\w+))?"
_JOB_END = (
    r"(?=\s*(?:[.,;!)]|$)|\s+(?:today|yesterday|last|this|in|on|after|when|two|three|a|and|to)\b)"
)
_CANCELLED = (
    r"(?i:cancell?ed|ended|dropped|terminated|stopped|gave up|got rid of|ditched|discontinued"
    r"|unsubscribed from|quit|let go of|did not renew|didn't renew|opted out of)"
)
_THING = r"(?P<value>[\w'+&-]+(?: [\w'+&-]+){0,2}?)"
_GONE = r"(?i:sold|gave away|got rid of|scrapped|totall?ed|traded in|donated)"
_RULES = (
    rule("employer", rf"{I_HAVE}(?:quit|left|resigned from|lost|gave up) {_JOB}{_AT}{_JOB_END}"),
    rule("employer", rf"{I_HAVE}(?:resigned|retired){_AT}{_WHEN}{SOFT_END}"),
    rule(
        "employer",
        r"I(?:'ve| have)? ?(?:just |recently )?(?:got|was|been) (?:just )?",
        rf"(?:laid off|fired|let go|made redundant)(?! up){_AT.replace('from', 'from|by', 1)}",
    ),
    rule("employer", rf"{I_AM}(?:retired|unemployed|jobless|between jobs|out of work){SOFT_END}"),
    rule(
        "marital status",
        rf"(?:{PERSON} and I|[Ww]e|My (?:wife|husband|partner|girlfriend|boyfriend)",
        rf" and I)(?: have| just| recently)* (?:broke|broken|split) up{SOFT_END}",
    ),
    rule(
        "subscription", rf"{MAYBE_WE}{_CANCELLED} {OWN.lower()} {_THING} (?:subscription|account)\b"
    ),
    rule("membership", rf"{MAYBE_WE}{_CANCELLED} {OWN.lower()} {_THING} membership\b"),
    rule(
        "membership",
        rf"{MAYBE_WE}{_CANCELLED} {OWN.lower()} membership (?:at|of|in|with) (?:the )?",
        rf"{_THING}{SOFT_END}",
    ),
    rule("subscription", rf"{MAYBE_WE}(?i:unsubscribed) from (?:the |my )?{_THING}{SOFT_END}"),
    rule("vehicle", rf"{MAYBE_WE}{_GONE} {OWN.lower()} (?:old |beloved )?(?P<value>{VEHICLE})\b"),
    rule(
        "vehicle", rf"{OWN} (?P<value>{VEHICLE}) (?:was|got) (?:stolen|totall?ed|scrapped|sold)\b"
    ),
    rule(
        "pet",
        rf"{OWN} (?:\w+ )?{ANIMAL},? (?P<value>{CAPITAL}[\w'-]+),? (?:has )?",
        r"(?:passed away|died|was put (?:down|to sleep)|crossed the rainbow bridge)\b",
    ),
    rule(
        "pet",
        rf"{OWN} (?:\w+ )?(?P<value>{ANIMAL}) (?:has )?",
        r"(?:passed away|died|was put (?:down|to sleep))\b",
    ),
    rule(
        "pet",
        rf"{WE}(?:had to |have )?(?:rehomed?|gave away|give away|put down) (?:{OWN.lower()} ",
        rf"(?:{ANIMAL} )?)?(?P<value>{CAPITAL}[\w'-]+|{ANIMAL})\b",
    ),
    rule("allergy", rf"{WE_HAVE}outgr(?:ew|own) {OWN.lower()} {_THING} allergy\b"),
    rule(
        "eating plan",
        rf"(?:{WE_HAVE}(?:stopped|quit|gave up|given up|ended|dropped)|I'm off)",
        r" (?:the |my )?(?P<value>keto|paleo|low-carb|gluten-free|intermittent fasting)",
        r"(?: diet)?(?![\w-])",
    ),
)
_SERVICES = re.compile(
    rf"{MAYBE_WE}{_CANCELLED} (?:{OWN.lower()} )?(?P<value>[A-Z][\w+]*(?: [A-Z][\w+]*){{0,2}})\b"
)
_NOT_NOW = re.compile(
    r"\b(?:almost|nearly|about to|going to|want to|should|twice|before|in my (?:career|life))\b",
    re.IGNORECASE,
)


def deny(said: str) -> Denied | None:
    """The positive form of a clause that says that something does not hold."""
    clause = _AT_ALL.sub("", said)
    for reader in (_read_no_longer, _read_used_to, _read_not, _read_stopped, _read_own,
                   _read_named, _read_answer):  # fmt: skip
        denied = reader(clause)
        if denied is not None:
            return denied
    return None


def find_ended(clause: str, is_service: Callable[[str], bool]) -> Ended | None:
    """The value that a clause says was given up, lost or cancelled."""
    if _NOT_NOW.search(clause):
        return None
    for attribute, pattern in _RULES:
        match = pattern.match(clause)
        if match is not None:
            return Ended(attribute, _value(match))
    match = _SERVICES.match(clause)
    if match is not None and is_service(match["value"]):
        return Ended("subscription", match["value"])
    return None


def _value(match: re.Match[str]) -> str | None:
    named: str | None = match.groupdict().get("value")
    return named.strip().rstrip(".,!") if named else None


def _read_no_longer(clause: str) -> Denied | None:
    match = _NO_LONGER.match(clause)
    if match is None:
        return None
    return Denied(f"{match['who']}{match['be'] or ''} {match['rest']}", is_plain=False)


def _read_used_to(clause: str) -> Denied | None:
    match = _USED_TO.match(clause)
    if match is None:
        return None
    rest = match["rest"]
    be = "'m" if rest.startswith("be ") else ""
    return Denied(f"{match['who']}{be} {rest.removeprefix('be ')}", is_plain=True)


def _read_not(clause: str) -> Denied | None:
    match = _NOT.match(clause)
    if match is None:
        return None
    rest = _ANY_MORE.sub("", match["rest"], count=1)
    return Denied(f"{match['who']}{match['be'] or ''} {rest}", is_plain=rest == match["rest"])


def _read_stopped(clause: str) -> Denied | None:
    match = _STOPPED.match(clause)
    base = _BASE_FORMS.get(match["verb"]) if match else None
    if match is None or base is None:
        return None
    return Denied(f"{match['who']} {base}{match['rest']}", is_plain=False)


def _read_own(clause: str) -> Denied | None:
    match = _OWN_NOT.match(clause)
    if match is None:
        return None
    rest = _ANY_MORE.sub("", match["rest"], count=1)
    is_plain = rest == match["rest"] and match["how"] != " no longer"
    return Denied(f"{match['own']} {match['be']} {rest}", is_plain)


def _read_named(clause: str) -> Denied | None:
    match = _NAMED_NOT.match(clause)
    if match is None:
        return None
    is_plain = match["how"] != " no longer" and not match["more"]
    return Denied(f"{match['own']} is {match['name']}.", is_plain)


def _read_answer(clause: str) -> Denied | None:
    match = _NO_ANSWER.match(clause)
    if match is not None:
        rest = match["rest"]
        return Denied(f"{rest[0].upper()}{rest[1:]}.", is_plain=False)
    match = _STOP_ANSWERING.match(clause)
    return Denied(f"Answer in {match['language']}.", is_plain=False) if match else None
