"""Turns "I prefer short answers" into "Alice prefers short answers" where that is surely right."""

from __future__ import annotations

import re

from pipelines.stages.wordlist import any_of, word_set

_FILLERS = any_of(
    """
    yeah|yes|yep|yup|no|nope|nah|oh|well|so|ok|okay|actually|also|and|but|btw|by the way
    honestly|thanks|thank you|hey|hi|hello|wow|sure|anyway|plus|fyi
    (?:please )?remember that|(?:please )?note that|keep in mind that
    (?:please )?remember|please note|keep in mind
    """
)
_FILLER = re.compile(rf"(?:{_FILLERS}\b[\s,.!:\u2013\u2014-]{{1,4}}){{1,3}}", re.IGNORECASE)
_PERSONAL = re.compile(
    r"\b(?:i|me|my|mine|myself|we|us|our|ours|ourselves|you|your|yours|yourself|let['\u2019]s)\b",
    re.IGNORECASE,
)
_HEAD = re.compile(
    r"(?P<pronoun>I|My|my)(?P<short>['\u2019](?:m|ve|ll|d))?\s+(?P<rest>\S.*)", re.DOTALL
)
_ADVERBS = word_set(
    """
    always never usually often sometimes rarely really also just still mostly only currently now
    recently finally actually generally normally typically absolutely definitely truly already
    mainly especially strongly simply kinda totally genuinely
    """
)
_BASE = word_set(
    """
    prefer like love hate dislike enjoy adore live work want need use own study play speak teach
    drive run eat drink collect practice practise know believe think feel hope plan cook bake write
    paint draw sing dance swim cycle hike travel commute manage lead build design develop code
    maintain support sell buy rent pay earn spend save volunteer train coach mentor attend visit
    take make get keep wear watch listen exercise walk sleep wake start finish meet call help miss
    wish remember forget mean see hear find give go come do say tell ask try learn grow raise host
    organize organise program deploy test avoid refuse insist expect suffer struggle require look
    dream aim intend tend recommend suggest appreciate value trust consider focus specialise
    specialize identify belong stay sit stand
    """
)
_PAST = word_set(
    """
    went had did was got came saw met took made found bought won lost began became broke brought
    built caught chose drew drank drove ate fell felt flew forgot gave grew heard held kept
    knew led left lent lit ran said sang sat sent shot slept sold spent
    spoke stood stole swam taught tore told thought threw understood wore woke wrote could would
    should might must can will may couldn't wouldn't shouldn't didn't wasn't can't won't cannot
    hadn't
    """
)
_FINITE = word_set("is isn't are aren't were weren't has hasn't have haven't does doesn't do don't")
_NOT_PAST = word_set("need proceed succeed exceed feed speed bleed breed seed")
_SPECIAL = {
    "am": "is",
    "have": "has",
    "haven't": "hasn't",
    "do": "does",
    "don't": "doesn't",
    "go": "goes",
}
_WOULD = word_set("like love prefer rather recommend say hate want")
_JOINED = re.compile(r"(?:\b(?:and|or|but)|,)\s+(?:(?:also|then|always|never|just)\s+)?([a-z']+)")
_MAX_LENGTH = 240


def strip_filler(sentence: str) -> str:
    """A sentence without its opening interjections ("Yeah, actually, …")."""
    match = _FILLER.match(sentence)
    return sentence[match.end() :] if match else sentence


def name_speaker(sentence: str, speaker: str) -> str:
    """The sentence about its speaker: in the third person, else verbatim behind the name."""
    return _third_person(strip_filler(sentence), speaker) or f"{speaker}: {sentence}"


def _third_person(sentence: str, speaker: str) -> str | None:
    head = _HEAD.match(sentence)
    if head is None or len(sentence) > _MAX_LENGTH or _PERSONAL.search(head["rest"]):
        return None
    if head["pronoun"] != "I":
        is_clause = head["short"] is None and _has_verb(head["rest"])
        return f"{speaker}'s {head['rest']}" if is_clause else None
    predicate = _predicate(head["short"], head["rest"])
    return f"{speaker} {predicate}" if predicate else None


def _predicate(short: str | None, rest: str) -> str | None:
    if short is None:
        return _conjugate(rest)
    form = short[1:]
    if form == "d":
        first = rest.split(maxsplit=1)[0].casefold()
        return f"would {rest}" if first in _WOULD else f"had {rest}" if first == "been" else None
    return f"{ {'m': 'is', 've': 'has', 'll': 'will'}[form] } {rest}"


def _conjugate(rest: str) -> str | None:
    """A predicate in the third person; None where its verb is not known for sure."""
    words = rest.split(" ")
    position = next((i for i, word in enumerate(words) if word not in _ADVERBS), None)
    if position is None:
        return None
    verb = words[position].replace("\u2019", "'")
    if verb in _PAST or _is_regular_past(verb):
        return rest
    if any(joined in _BASE or joined in _SPECIAL for joined in _JOINED.findall(rest)):
        return None
    singular = _SPECIAL.get(verb) or (_add_s(verb) if verb in _BASE else None)
    return " ".join((*words[:position], singular, *words[position + 1 :])) if singular else None


def _has_verb(rest: str) -> bool:
    words = [word.replace("\u2019", "'") for word in rest.split()]
    return any(word in _FINITE or word in _PAST or _is_regular_past(word) for word in words)


def _is_regular_past(verb: str) -> bool:
    return len(verb) > len("need") and verb.endswith("ed") and verb not in _NOT_PAST


def _add_s(verb: str) -> str:
    if verb.endswith(("s", "sh", "ch", "x", "z", "o")):
        return f"{verb}es"
    if verb.endswith("y") and verb[-2] not in "aeiou":
        return f"{verb[:-1]}ies"
    return f"{verb}s"
