"""Reads which attributes a clause gives a value, and which values it ends.

What is read wrongly retires truth, so only whole clauses are read that leave no doubt: about the
present, unconditional, said of one subject.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pipelines.stages.offline.attributes import Found, find_attribute
from pipelines.stages.offline.changes import find_change
from pipelines.stages.offline.endings import deny, find_ended
from pipelines.stages.offline.measures import find_measure
from pipelines.stages.offline.members import find_member, is_service
from pipelines.stages.offline.others import find_other
from pipelines.stages.wordlist import any_of, straight

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class SlotValue:
    """An attribute and its value, both as short as they can be said.

    Attributes:
        value: None where an ending does not name what ended.
        ends: The value does not hold any more.
        subject: Whose attribute, if not the speaker's.
        is_named: Whether ``subject`` is a name and no relation ("wife").
        is_aside: The clause is rather about another value: "from Jira" beside "to Linear".
    """

    attribute: str
    value: str | None
    ends: bool = False
    subject: str | None = None
    is_named: bool = False
    is_aside: bool = False


_OPENER_WORDS = any_of(
    r"""
    (?:it )?turns out(?: that)?|guess what|as it turns out|update|heads[- ]up|fyi|i mean
    these days|nowadays|as of (?:today|now|this \w+|last \w+|\w+day|next \w+)
    (?:last|this) (?:week|weekend|month|\w+day|spring|summer|autumn|fall|winter)
    (?:earlier )?(?:today|this week)|yesterday|in [A-Z]\w+(?= (?:I|we) )|since \w+
    (?:so )?(?:basically|apparently|sadly|luckily|fortunately|unfortunately|as you know)
    please note(?: that)?|just so you know|for the record|by the way|correction|in fact
    """
)
_OPENER = re.compile(rf"(?:{_OPENER_WORDS})\b[\s,:!.]{{1,4}}", re.IGNORECASE)
_CONJUNCTION = re.compile(
    r"(?:and|but|so|because|since|then|plus|although|though)\s+", re.IGNORECASE
)
# Anywhere in a sentence these make it doubtful what is true now.
_SENTENCE_DOUBT_WORDS = any_of(
    r"""
    ^if\b|\bif (?:i|we|he|she|they|my|our|it)\b|\bunless\b|\bwould\b|\b(?:i|we|he|she)'d\b
    \bwish\b|\bmight\b|\bmaybe\b|\bperhaps\b|\bpossibly\b|\bprobably\b|\bimagine\b|\bpretend
    \bsuppose\b|\bjoking\b|\bkidding\b|\balmost\b|\bnearly\b|\bdream(?:ed|t|ing)?\b|\bjk\b
    \b(?:when|while) (?:i|we) (?:was|were)\b|\bback then\b|\bback in\b|\byears? ago\b
    \bas an? (?:child|kid|student|teen\w*|boy|girl|toddler|young \w+|undergrad\w*)\b
    \bin (?:my|our) (?:twenties|thirties|teens|childhood|youth|dream|dreams|novel|story|game)\b
    \bgrowing up\b|\bin (?:college|high school|primary school)\b|\bhypothetical
    \bin (?:19|20)\d\d\b|\bthe (?:plan|idea) is\b|\bin the (?:game|novel|story|film|movie)\b
    \b(?:said|says|wrote|asked|joked|quote|was like)\s*[:,]|\bor (?:did|was|were)\b
    \?\s*$
    """
)
_SENTENCE_DOUBT = re.compile(_SENTENCE_DOUBT_WORDS, re.IGNORECASE)
_CLAUSE_DOUBT_WORDS = any_of(
    r"""
    if|used to|was|were|not|no longer|never|when i|until|once|hope|hoping|want|wanted
    thinking|could|should|will|going to|gonna|may|considering
    """
)
_CLAUSE_DOUBT = re.compile(rf"\b{_CLAUSE_DOUBT_WORDS}\b|n't\b|\?", re.IGNORECASE)
_LET_GO = re.compile(r"\bI (?:was|were) (?:just |recently )?(?:laid off|fired|let go|made)\b")
# A change is the one past form that tells the present.
_CHANGED = re.compile(
    r"\b(?:was|were|has been|have been) (?=(?:just |recently )?(?:raised|increased|lowered|reduced"
    r"|cut|changed|set|moved|extended|doubled|bumped|pushed|postponed|rescheduled|shifted|delayed"
    r"|brought|put|promoted)\b)"
)
# "My sister and I live in Rome" is said of both.
_AND_I = re.compile(r"^(?:My [\w' -]{2,30}?|[A-Z][\w'-]+) and I (?=\w)")
_LASTING = re.compile(r"^(I|[Ww]e)(?:'ve| have) been (?=.*\b(?:since|for|lately)\b)")
_BE = {"I": "'m", "We": "'re", "we": "'re"}
_MODAL_MAY = re.compile(r"\bMay\b")
_CORRECTED = re.compile(
    r",?\s+(?:and )?not (?:in |at |on |for )?(?:an? |the )?[^,.;!?]{1,40}(?=[.!]*\s*$)"
)
_RATHER = re.compile(
    r"(?P<head>I|[Ww]e)(?: (?:don't|do not) (?P<verb>\w+)|(?P<be>'m| am|'re| are) not)"
    r" (?P<where>in |at |for |on |as )?(?P<old>(?:an? )?[^,;]{2,40}?),? but(?: rather)? "
    r"(?:in |at |for |on |as )?(?P<new>[^,;]{2,60})$"
)


def read_slots(clause: str) -> tuple[SlotValue, ...]:
    """What a clause says of attributes; the first one is what it is about.

    Args:
        clause: A clause of a sentence for which ``is_doubtful`` is false.
    """
    core = _proper(straight(clause))
    if is_doubtful(core):
        return ()
    return tuple(_read(core)) or tuple(_read_of_other(core))


def is_doubtful(sentence: str) -> bool:
    """Whether a sentence asks, supposes, remembers or dreams, so that nothing in it is sure."""
    return _SENTENCE_DOUBT.search(straight(sentence)) is not None


def _proper(clause: str) -> str:
    """A clause from its subject on."""
    core = _CONJUNCTION.sub("", clause, count=1) if _CONJUNCTION.match(clause) else clause
    while opener := _OPENER.match(core):
        core = core[opener.end() :]
    lasting = _LASTING.match(core)
    if lasting is not None:
        core = f"{lasting[1]}{_BE[lasting[1]]} {core[lasting.end() :]}"
    return _AND_I.sub("We ", core)


def _read(clause: str) -> Iterator[SlotValue]:
    ended = find_ended(clause, is_service)
    if ended is not None:
        yield SlotValue(ended.attribute, ended.value, ends=True)
        return
    rather = _say_rather(clause)
    found = _find(rather) if rather else None
    if found is not None:
        yield SlotValue(found.attribute, found.value)
        return
    denied = deny(clause)
    if denied is not None:
        found = _find(denied.clause)
        if found is not None and not (denied.is_plain and _goes_on(denied.clause, found)):
            yield SlotValue(found.attribute, found.value, ends=True)
        return
    yield from _read_positive(clause)


def _read_positive(clause: str) -> Iterator[SlotValue]:
    found = _find(_CORRECTED.sub("", clause))
    if found is not None:
        yield SlotValue(found.attribute, found.value)
        return
    change = find_change(clause)
    if change is not None and not _is_clause_doubtful(clause):
        yield SlotValue(change.attribute, change.value)
        if change.former is not None:
            yield SlotValue(change.attribute, change.former, ends=True, is_aside=True)


def _read_of_other(clause: str) -> Iterator[SlotValue]:
    other = find_other(clause)
    if other is None:
        return
    for slot in _read(other.clause):
        if slot.attribute not in _ONLY_MINE:
            yield replace(slot, subject=other.subject, is_named=other.is_named)


_ONLY_MINE = frozenset({"name", "answer language", "answer style", "time zone"})


def _find(clause: str) -> Found | None:
    """The attribute that a positive clause states."""
    if _is_clause_doubtful(clause):
        return None
    plain = _CHANGED.sub("", clause)
    return find_measure(plain) or find_attribute(clause) or find_member(clause)


def _is_clause_doubtful(clause: str) -> bool:
    """Whether the clause proper, up to its first comma, leaves a doubt."""
    head = re.split(r",\s|;|\s-\s|\(", _MODAL_MAY.sub("", _LET_GO.sub("", clause)), maxsplit=1)[0]
    return _CLAUSE_DOUBT.search(_CHANGED.sub("", head)) is not None


def _goes_on(clause: str, found: Found) -> bool:
    """Whether more follows than "at all": who does not play on Mondays plays."""
    rest = clause[found.end :].strip(" .!,;")
    return bool(rest) and rest not in {"at all", "after all", "now", "though", "yet"}


def _say_rather(clause: str) -> str | None:
    """What is said instead: of "I don't work at Roche but at Novartis" "I work at Novartis"."""
    match = _RATHER.match(clause)
    if match is None:
        return None
    verb = match["be"] or f" {match['verb']}"
    return f"{match['head']}{verb} {match['where'] or ''}{match['new']}"
