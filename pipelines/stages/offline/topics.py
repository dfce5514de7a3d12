"""Finds what a conversation is about, where "the deadline" does not say whose."""

from __future__ import annotations

import re

from pipelines.stages.wordlist import straight, word_set

_TOPIC = re.compile(
    r"\b(?i:for|about|regarding|re|on|with|of|writing|finishing|preparing|building|planning|plan|drafting"
    r"|submitting|buying|buy|booking|book|renting|rent)\s+(?:the|my|our|an?)\s+(?P<topic>(?:[\w-]+\s+){0,2}?[\w-]+)"
    r"(?=\s*(?:[,.:;!?)]|$)|\s+(?:is|are|was|has|now|this|next|and|but|so|because|that|which|to|in"
    r"|at|by|for|with|again|together|the|my|our|will|deadline|due)\b)"
)
_NO_TOPICS = word_set(
    """
    moment day week weekend month year time way hand other end rest record best same whole past
    future morning evening night minute while bit lot few road phone side top bottom first last
    next deadline launch release date budget
    """
)
# "The deadline" and "my deadline" are those of whatever is talked about, and so is "my budget".
_DATED = word_set("deadline launch release")
_BARE = _DATED | {"budget"}


def find_topic(sentence: str) -> str | None:
    """The thing that a sentence is about, if it names one: the last one."""
    topics = [match["topic"].casefold() for match in _TOPIC.finditer(straight(sentence))]
    sure = [topic for topic in topics if not _NO_TOPICS.intersection(topic.split())]
    return sure[-1] if sure else None


def qualify(attribute: str, sentence: str, earlier: str | None) -> str:
    """The attribute with what it belongs to, where it does not say so itself.

    Args:
        attribute: As its clause names it.
        sentence: In which it stands; what comes before it may say what it belongs to.
        earlier: What the talk was about before that.
    """
    if attribute not in _BARE:
        return attribute
    topic = find_topic(sentence.partition(attribute)[0]) or earlier
    return f"{topic} {attribute}" if topic else attribute


def topic_of(attribute: str) -> str | None:
    """What an attribute belongs to, if it says so: the thesis of a "thesis deadline"."""
    topic, _, noun = attribute.rpartition(" ")
    return topic if topic and noun in _DATED else None
