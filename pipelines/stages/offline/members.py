"""Attributes that hold many values at once: each value is a slot that only its own end retires."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipelines.stages.offline.attributes import Found
from pipelines.stages.offline.phrases import (
    ADVERB,
    ANIMAL,
    CAPITAL,
    CLAUSE_END,
    COUNT,
    I_AM,
    LANGUAGE,
    NAME,
    NOW,
    SOFT_END,
    VEHICLE,
    WE,
    WE_ARE,
    WE_HAVE,
    rule,
)
from pipelines.stages.wordlist import any_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_SERVICE = any_of(
    r"""
    Netflix|Spotify(?: Premium)?|Disney\+|Disney Plus|Hulu|HBO(?: Max)?|Prime Video|Amazon Prime
    Audible|YouTube Premium|Apple Music|Apple TV\+?|Kindle Unlimited|ChatGPT Plus|Claude Pro
    GitHub Copilot|Copilot|Dropbox|iCloud\+?|Creative Cloud|Game Pass|PlayStation Plus|Strava
    Duolingo(?: Plus)?|Headspace|Calm|Crunchyroll|Tidal|Deezer|Paramount\+|Peacock|DAZN|Skillshare
    MasterClass|Coursera(?: Plus)?|Blinkist|Medium|Patreon|Peloton|HelloFresh|Hello Fresh
    LinkedIn Premium|LinkedIn Learning|Nebula|MUBI|Mubi|Sky|Substack|Scribd|Grammarly|Canva Pro
    Notion AI
    """
)
_INSTRUMENT = any_of(
    """
    piano|guitar|bass guitar|bass|violin|viola|cello|double bass|drums?|flute|clarinet|saxophone
    trumpet|trombone|harp|ukulele|banjo|accordion|harmonica|oboe|keyboard|organ|mandolin|recorder
    """
)
_GAME = any_of(
    """
    chess|tennis|football|soccer|basketball|volleyball|handball|badminton|squash|golf|rugby|hockey
    cricket|baseball|softball|table tennis|ping pong|padel|pickleball|bridge|poker|darts|bowling
    water polo|lacrosse|frisbee|Ultimate|Dungeons (?:and|&) Dragons|D&D|video games|board games
    """
)
_EXERCISE = any_of(
    """
    yoga|pilates|karate|judo|aikido|crossfit|CrossFit|boxing|ballet|gymnastics|taekwondo|parkour
    bouldering|climbing|kickboxing|jiu-jitsu|zumba|tai chi
    """
)
_EATING = any_of(
    """
    keto|paleo|gluten-free|dairy-free|low-carb|lactose-free|sugar-free|low-sodium|carnivore|DASH
    Mediterranean|intermittent fasting|halal|kosher|whole30|Whole30|low-FODMAP|raw food
    """
)
_ARTICLE = r"(?:an? |the |my |our )?"
_PET_NAME = rf"(?P<value>{CAPITAL}[\w'-]+)"
_PURPOSE = (
    r"(?=\s*(?:[.,;!)]|$)|\s+(?:for|in|to|at|on|with|as|every|and|because|now|again|too|here)\b)"
)
_PRODUCT = rf"(?P<value>{CAPITAL}[\w.+#-]*(?: {CAPITAL}[\w.+#-]*){{0,2}}(?: v?\d[\d.]*(?<!\.))?)"
_THING = r"(?P<value>[\w'-]+(?: [\w'-]+){0,2}?)"
_TAIL = rf"(?:{NOW}(?:\s+(?:too|as well|also|again|at home|at work|by now))*)"

_RULES = (
    rule(
        "language",
        rf"I {ADVERB}(?:also )?(?:speak|know) (?:fluent |some |a (?:bit|little) (?:of )?)?",
        rf"(?P<value>{LANGUAGE})\b",
    ),
    rule("language", rf"{I_AM}(?:also )?fluent in (?P<value>{LANGUAGE})\b"),
    rule(
        "allergy",
        rf"{I_AM}(?:also |severely |badly |deathly |mildly |highly |very )*allergic to ",
        rf"(?P<value>[\w'-]+(?: [\w'-]+)?){_TAIL}{SOFT_END}",
    ),
    rule(
        "allergy",
        rf"{WE_HAVE}(?:have |got |developed )?an? (?:severe |bad |mild )?",
        r"(?P<value>[\w'-]+(?: [\w'-]+)?) allergy\b",
    ),
    rule("allergy", rf"{I_AM}(?P<value>lactose|gluten|fructose|histamine)[- ]intolerant\b"),
    rule(
        "pet",
        rf"{WE_HAVE}(?:have |got |own |adopted |bought )?an? (?:[\w-]+ ){{0,2}}?{ANIMAL}",
        rf"(?: now)?,? (?:named|called) {_PET_NAME}",
    ),
    rule(
        "pet",
        rf"{WE_HAVE}(?:have |got |own |adopted |bought )an? (?P<value>{ANIMAL}){_TAIL}{SOFT_END}",
    ),
    rule(
        "vehicle",
        rf"{WE_HAVE}(?:have |got |own |drive )an? (?P<value>{VEHICLE}){_TAIL}",
        rf"(?:{SOFT_END}|(?=\s+(?:but|and)\b))",
    ),
    rule(
        "vehicle",
        rf"{WE}drive an? {NAME.replace('(?P<value>', '(?P<value>(?:[a-z]+ )?')}",
        rf"(?: [A-Z]?\d[\w.]*)?{CLAUSE_END}",
    ),
    rule(
        "subscription",
        rf"{WE_HAVE}(?:have |got )?{_ARTICLE}(?P<value>{_SERVICE})(?![\w+])",
        rf"(?: subscription| account)?{_PURPOSE}",
    ),
    rule(
        "subscription",
        rf"{WE_HAVE}(?:have |got )?an? (?P<value>[\w'+&-]+(?: [\w'+&-]+){{0,2}}?)",
        rf" subscription{_PURPOSE}",
    ),
    rule("subscription", rf"{WE_ARE}subscribed to {_ARTICLE}{_THING}{_PURPOSE}"),
    rule(
        "subscription",
        rf"{WE_HAVE}(?:subscribe|subscribed|pay for|pay) (?:to )?{_ARTICLE}",
        rf"(?P<value>{_SERVICE})(?![\w+])",
    ),
    rule(
        "membership",
        rf"{WE_HAVE}(?:have |got )?an? (?P<value>[\w'+&-]+(?: [\w'+&-]+){{0,2}}?)",
        rf" membership{_PURPOSE}",
    ),
    rule(
        "membership",
        rf"{WE_HAVE}(?:have |got )?an? membership (?:at|of|in|with) {_ARTICLE}{_THING}{_PURPOSE}",
    ),
    rule("membership", rf"{WE_ARE}(?:an? )?members? (?:of|at) {_ARTICLE}{_THING}{_PURPOSE}"),
    rule(
        "instrument", rf"{WE}(?:play|am learning|practi[sc]e) (?:the )?(?P<value>{_INSTRUMENT})\b"
    ),
    rule("hobby", rf"{WE}(?:play|am into) (?P<value>{_GAME})\b"),
    rule("hobby", rf"{WE}(?:do|practi[sc]e|go) (?P<value>{_EXERCISE})\b"),
    rule(
        "hobby",
        rf"{WE}go (?P<value>(?:swimming|running|hiking|cycling|fishing|dancing|sailing",
        r"|skiing|surfing|riding|jogging|camping|rowing|diving|bird ?watching))\b",
    ),
    rule(
        "habit",
        rf"{WE}(?P<value>smoke|vape)(?=\s*(?:[.,;!)]|$)|\s+(?:a|about|around|\d+|{COUNT}|every|again"
        r"|when|at|only|on|now|like|half|less|more|too)\b)",
    ),
    rule(
        "habit",
        rf"{WE}drink (?:a lot of |lots of |too much )?(?P<value>alcohol|coffee|beer|wine|tea",
        r"|soda|cola|energy drinks)\b",
    ),
    rule(
        "eating plan",
        rf"{WE_ARE}(?:on |doing )?{_ARTICLE}(?:strict |very )?(?P<value>{_EATING})",
        r"(?: diet)?(?![\w-])",
    ),
    rule(
        "eating plan",
        rf"{WE_HAVE}(?:do|follow|eat|gone|went|keep) {_ARTICLE}(?:strict )?",
        rf"(?P<value>{_EATING})(?: diet)?(?![\w-])",
    ),
    rule(
        "tool",
        rf"{WE}(?:use|run|rely on|prefer using|work with|build with|deploy with) ",
        rf"{_PRODUCT}{_PURPOSE}",
    ),
    rule(
        "tool",
        rf"{WE_ARE}(?:using|running|running on|on) {_PRODUCT}",
        r"(?=\s*(?:[.,;!)]|$)|\s+(?:for|to|in production|now|these days)\b)",
    ),
)
_NO_TOOL = re.compile(rf"(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|I|We|{LANGUAGE})s?$")
_HABITS = {"smoke": "smoking", "vape": "vaping"}

_KNOWN_SERVICE = re.compile(_SERVICE)
_LIST = re.compile(
    r"(?P<head>(?:I|[Ww]e)(?:'ve got|'ve| have got| have| also have)|I(?:'m| am) allergic to"
    rf"|I (?:also )?speak|(?:I|[Ww]e) (?:use|play|go|do)) (?P<items>.+?)(?P<tail>{NOW}\s*[.!]*\s*)$"
)
_ITEM = r"[^\s,]+(?:\s+[^\s,]+){0,4}?"
_ITEMS = re.compile(rf"{_ITEM}(?:,\s+{_ITEM})*,?\s+and\s+{_ITEM}")
_COUNTED = re.compile(r"(?:an?|one|two|three|four|five|six|\d+|some|no)\s", re.IGNORECASE)
_LOOSE = re.compile(r"\b(?:that|which|who|when|where|both|between|is|are|it|so|to|I|we|my)\b")
_BETWEEN_ITEMS = re.compile(r",\s+(?:and\s+)?|\s+and\s+")


def find_member(clause: str) -> Found | None:
    """The value that a clause says the speaker has, among others of its kind."""
    for attribute, pattern in _RULES:
        match = pattern.match(clause)
        if match is None:
            continue
        value = match["value"].strip().rstrip(".,!")
        if attribute == "tool" and _NO_TOOL.search(value):
            continue
        return Found(attribute, _HABITS.get(value, value), match.end())
    return None


def is_service(name: str) -> bool:
    """Whether one subscribes to what bears this name."""
    return _KNOWN_SERVICE.fullmatch(name) is not None


def split_list(clause: str) -> Iterator[str]:
    """One clause for each thing of a list: "I speak French and Dutch" says two things.

    Nothing if it is no list of things that stand for themselves.
    """
    match = _LIST.match(clause)
    if match is None or not _ITEMS.fullmatch(match["items"]) or _LOOSE.search(match["items"]):
        return
    items = _BETWEEN_ITEMS.split(match["items"])
    if match["head"].endswith(("have", "got", "'ve")) and not all(map(_COUNTED.match, items)):
        return
    for item in items:
        yield f"{match['head']} {item}{match['tail']}"
