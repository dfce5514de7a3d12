"""What kind of memory a sentence makes, and how much it matters."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.model import Kind
from pipelines.stages.wordlist import any_of, phrase_pattern, straight


@dataclass(frozen=True, slots=True)
class Weight:
    """Kind and importance of a sentence."""

    kind: Kind
    importance: float


_BETWEEN = r"(?:\s+(?:\w+ly|also|just|still|always|never|don'?t|do|am|are|not|would|can'?t))*"
_I = rf"(?:i|we)(?:'(?:m|ve|re|d|ll))?(?!\w){_BETWEEN}"

_TRANSIENT = phrase_pattern(
    rf"""
    brb
    hold on
    hang on
    one (?:sec|second|moment)
    give me a (?:sec|second|minute|moment)
    {_I}\s+(?:debugging|compiling|typing|restarting|rebooting)
    {_I}\s+about to (?:run|try|test|start|check)
    {_I}\s+(?:working on|fixing|trying|running|testing)\b.*\b(?:right now|at the moment)
    {_I}\s+(?:looking at|reading)\b.*\b(?:right now|at the moment)
    {_I}\s+(?:stuck|checking|waiting)\b.*\b(?:right now|at the moment|as we speak)
    """
)
_FAILED = any_of(
    """
    fail(?:ed|s)?
    broke
    breaks
    crash(?:ed|es)?
    (?:did|does)(?:n't| not) work
    never worked
    timed out
    went wrong
    """
)
_LESSON = phrase_pattern(
    rf"""
    lessons?\b.{{0,20}}\b(?:learn(?:ed|t)|is|was)
    learn(?:ed|t) (?:the hard way|that|not to|never to)
    turns out
    {_FAILED}\b.{{0,60}}\b(?:because|due to|since|as|so)
    tried\b.{{1,120}}\bbut
    (?:root )?cause (?:was|is)
    never again
    should(?:n't| not)? have
    mistake (?:was|is)
    the (?:problem|issue|bug|culprit) was
    """
)
_OUTCOME = phrase_pattern(
    """
    decided|agreed|settled on|chose|concluded|resolved|approved|rejected|signed off
    (?:it|that|this) (?:finally )?work(?:ed|s now)
    fixed|solved|deployed|shipped|released|merged|migrated|launched|rolled back
    finished|completed|passed|succeeded|failed|won|graduated|published
    (?:got|was) accepted
    """
)
_STEP = "(?:run|use|make|check|call|start|stop|restart|open|click|set|do|we|you)"
_PROCEDURE = re.compile(
    any_of(
        rf"""
        ^(?:to|in order to) \w+[^,]{{0,80}},[ ]
        \bfirst\b.{{3,160}}\bthen\b
        \b(?:steps?|workflow|procedure|process)\b.{{0,20}}(?::| is\b)
        ^(?:before|after|whenever|every time|each time)\b.{{3,80}}, (?:always |first )?{_STEP}\b
        \bmake sure to\b
        \bhow to\b.{{3,60}}:
        """
    ),
    re.IGNORECASE,
)
_ANSWERS = "(?:answers|replies|responses|messages|code|explanations|it)"
_KINDLY = "(?:please |and |so )?"
_STANDING = re.compile(
    any_of(
        rf"""
        ^{_KINDLY}(?:always|never|from now on|going forward|in (?:the )?future|by default)\b
        ^{_KINDLY}call me [A-Z]
        ^{_KINDLY}(?:don'?t|do not) (?:ever )?(?:use|call me|send me|add|include|write|put)\b
        ^{_KINDLY}(?:don'?t|do not) (?:ever )?(?:suggest|recommend|ask me)\b
        ^{_KINDLY}(?:answer|reply|respond|write|speak|talk)(?: to)?(?: me)? (?:only )?in [A-Z]
        ^{_KINDLY}prefer \w+
        ^{_KINDLY}keep (?:your |the |all |my )?{_ANSWERS} (?:short|brief|concise|simple|formal)
        ^{_KINDLY}keep (?:your |the |all |my )?{_ANSWERS} (?:informal|under)
        ^{_KINDLY}(?:no|avoid|skip) (?:emojis?|jargon|small talk|markdown|tables|\w+ please)
        ^{_KINDLY}use (?:metric|imperial|british|american|celsius|fahrenheit|24)\b
        ^{_KINDLY}use (?:tabs|spaces|bullet|plain|formal|informal)\b
        ^{_KINDLY}use \w[^.]{{0,60}}\b(?:instead of|not|rather than|by default|for all|in all)\b
        \b(?:from now on|going forward|at all times)\b
        """
    ),
    re.IGNORECASE,
)
_PREFERENCE = phrase_pattern(
    rf"""
    {_I}\s+(?:prefer|like|love|hate|dislike|enjoy|adore|loathe|detest|stand|rather|want)
    {_I}\s+(?:fond|a (?:big |huge )?fan|into|keen|obsessed|passionate)
    my (?:all-time )?(?:fav(?:ou?rite)?s?|faves?|go-to|top pick|preference)
    prefer(?:s|red|ence)?
    """
)
_PROFILE = phrase_pattern(
    rf"""
    {_I}\s+(?:work|live|study|own|have|had|come from|grew up|born|based|married|engaged)
    {_I}\s+(?:divorced|single|allergic|vegan|vegetarian|an?|from)
    i'm (?:the|\d+(?!%))
    my (?:name|age|birthday|address|email|time ?zone|job|boss|company|employer|team)
    my (?:wife|husband|partner|son|daughter|kids?|children|family|hobby|hobbies)
    my (?:mom|mum|mother|dad|father|sister|brother|dog|cat|pets?|home|hometown|house)
    """
)
_GRAVE = phrase_pattern(
    r"""
    allerg\w+|diabet\w+|epilep\w+|pregnan\w+|wheelchair|asthma\w*|celiac|intoleran\w+
    """
)
_HAPPENED = phrase_pattern(
    rf"""
    {_I}\s+(?:\w+ed|went|got|came|saw|met|took|made|found|bought|won|lost|began|became|broke)
    {_I}\s+(?:built|gave|had|did|ran|wrote|read|spent|left|sold|quit|been)
    """
)
_FIRST_PERSON = phrase_pattern("i|my|me|mine|we|our|us")

_WEIGHTS = {
    Kind.LESSON: 0.7,
    Kind.PROCEDURE: 0.65,
    Kind.PREFERENCE: 0.65,
    Kind.OUTCOME: 0.6,
    Kind.PROFILE: 0.6,
    Kind.EVENT: 0.5,
    Kind.KNOWLEDGE: 0.4,
}
_GRAVE_IMPORTANCE, _STANDING_IMPORTANCE = 0.9, 0.8
_TRANSIENT_IMPORTANCE, _IMPERSONAL_IMPORTANCE = 0.2, 0.35
_CUES = (
    (Kind.LESSON, _LESSON),
    (Kind.PROCEDURE, _PROCEDURE),
    (Kind.OUTCOME, _OUTCOME),
    (Kind.PREFERENCE, _PREFERENCE),
)


def weigh(sentence: str, *, is_dated: bool) -> Weight:
    """Kind and importance of what a user said; ``is_dated`` if it names a day that is certain."""
    plain = straight(sentence)
    if _TRANSIENT.search(plain):
        return Weight(Kind.KNOWLEDGE, _TRANSIENT_IMPORTANCE)
    if _GRAVE.search(plain) and _FIRST_PERSON.search(plain):
        return Weight(Kind.PROFILE, _GRAVE_IMPORTANCE)
    if is_standing_wish(plain):
        return Weight(Kind.PREFERENCE, _STANDING_IMPORTANCE)
    kind = _kind(plain, is_dated=is_dated)
    if kind is Kind.KNOWLEDGE and not _FIRST_PERSON.search(plain):
        return Weight(kind, _IMPERSONAL_IMPORTANCE)
    return Weight(kind, _WEIGHTS[kind])


def is_standing_wish(sentence: str) -> bool:
    """Whether it says how things shall be done from now on, not only this once."""
    return _STANDING.search(straight(sentence)) is not None


def _kind(plain: str, *, is_dated: bool) -> Kind:
    for kind, cue in _CUES:
        if cue.search(plain):
            return kind
    if is_dated or _HAPPENED.search(plain):
        return Kind.EVENT
    return Kind.PROFILE if _PROFILE.search(plain) else Kind.KNOWLEDGE
