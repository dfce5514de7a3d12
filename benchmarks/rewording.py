"""Says a statement about somebody again in other words, without changing what it says.

Clauses change places, sentences are turned round, verbs are exchanged for synonyms, fillers fall
away; what no rule fits becomes reported speech. Names, numbers and negations stay as they are, and
the same statement always gets the same words.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipelines.stages.dedup import statement_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

# Predicates that can stand second: "attended a parade and felt happy".
_SECOND = (
    r"(?:is|was|has|had|finds|found|feels|felt|values|valued|enjoys|enjoyed|appreciates|wants"
    r"|loves|loved|believes|considers|encourages|encouraged|uses|aims|hopes|plans|admires"
    r"|supports|expresses|expressed|mentions|helps|seeks|volunteers|promotes|acknowledges)"
)
_WHEN = (
    r"(?:last (?:week|weekend|month|year|summer|night|[A-Z]\w+day)|next (?:week|month|year)"
    r"|this (?:week|month|year)|over the weekend|every (?:week|day|year|[A-Z]\w+day)|each day"
    r"|(?:a few|two|three|four|five) (?:days|weeks|weekends|months|years) ago"
    r"|for (?:\d+|two|three|four|five|six|seven|eight|nine|ten) years|once a month"
    r"|(?:a few|several) times a week|in (?:19|20)\d\d|recently)"
)
_WHY = r"(?<!even )(?<!especially )(?:because|due to|despite|after|before|when|while)"
_OPINION = re.compile(
    r"(?P<who>\S+) (?:believes|thinks|feels) (?:that )?(?P<rest>(?!in )[a-zA-Z].*)"
)
_FINDS_IT = re.compile(r"(?P<who>\S+) finds it (?P<how>[\w ]+) to (?P<rest>.*)")
_ABLE = re.compile(r"(?P<who>\S+) (?P<verb>\w+) (?P<rest>an? [\w '-]+?)(?P<when> " + _WHEN + r")?")
_TWO = re.compile(
    r"(?P<who>\S+) (?P<first>[a-z][^,]*?) and (?P<second>" + _SECOND + r" .*)", re.DOTALL
)
_LATER = re.compile(r"(?P<who>\S+) (?P<first>[a-z].*?)(?P<why> " + _WHY + r" [^,]*)")
_ONCE = re.compile(
    r"(?P<who>\S+) (?P<first>(?:[a-z].*? )?)(?<!for )(?<!since )(?P<when>"
    + _WHEN
    + r")(?P<rest>(?:,? .*)?)"
)
_OWNED = re.compile(
    r"(?P<who>[A-Z]\w+)'s (?P<what>[a-z][\w -]*?) (?P<rest>(?:is|are|was|has|have) .*)"
)
_PARTNERS = re.compile(
    r"(?P<before>\b(?:of|for|in|with|both|is|are|felt|feels|her|his|their) )"
    r"(?P<one>[a-z-]+) and (?P<other>[a-z-]+)(?=[.,;]|$| (?:for|in|with|of|to|from)\b)"
)
_CLAUSE = re.compile(r",? and " + _SECOND + r"\b|, (?:and|but|which|who|so)\b")
_ANYBODY_ELSE = re.compile(r"(?<![.!?] )\b[A-Z][a-z]+\b")
_PRONOUNS = {
    "she": re.compile(r"^(?!.*\b(?:his|he|him|himself)\b).*\b(?:her|she|herself)\b"),
    "he": re.compile(r"^(?!.*\b(?:her|she|herself)\b).*\b(?:his|he|him|himself)\b"),
}
_PARTICIPLES = {
    "bought": "bought", "built": "built", "created": "created", "designed": "designed",
    "made": "made", "organized": "organized", "painted": "painted", "received": "received",
    "took": "taken",
}  # fmt: skip

_SYNONYMS = {
    "is looking forward to": "is excited about",
    "is passionate about": "has a passion for",
    "is working hard on": "is busy with",
    "is working on": "is busy with",
    "is supportive of": "supports",
    "is grateful for": "is thankful for",
    "is considering": "is thinking about",
    "is planning to": "intends to",
    "is searching for": "is looking for",
    "is willing to": "is ready to",
    "is involved in": "takes part in",
    "is inspired by": "takes inspiration from",
    "was inspired by": "took inspiration from",
    "had a great time": "had lots of fun",
    "has the power to": "is able to",
    "in order to": "to",
    "in addition to": "besides",
    "as well as": "and",
    "such as": "like",
    "a lot of": "lots of",
    "due to": "because of",
    "make a difference": "have an impact",
    "making a difference": "having an impact",
    "took part in": "participated in",
    "participated in": "took part in",
    "expressed gratitude for": "was thankful for",
    "expresses gratitude for": "is thankful for",
    "believes in": "has faith in",
    "believes that": "is convinced that",
    "plans to": "intends to",
    "aspires to": "hopes to",
    "hopes to": "would like to",
    "wants to": "would like to",
    "aims to": "tries to",
    "decided to": "made the decision to",
    "got into": "took up",
    "expresses herself": "expresses herself",
    "expresses himself": "expresses himself",
    "expressed": "voiced",
    "expresses": "voices",
    "mentioned": "brought up",
    "mentions": "brings up",
    "emphasizes": "stresses",
    "emphasized": "stressed",
    "highlights": "points out",
    "appreciates": "is thankful for",
    "appreciated": "was thankful for",
    "values": "cares about",
    "cherishes": "treasures",
    "treasures": "cherishes",
    "supports": "backs",
    "enjoys": "likes",
    "enjoyed": "liked",
    "loves to": "likes to",
    "loves": "adores",
    "attended to": "attended to",
    "attended": "went to",
    "shared that": "told others that",
    "started": "began",
    "bought": "purchased",
    "created": "made",
    "creating": "making",
    "encourages": "urges",
    "excited about": "enthusiastic about",
    "volunteers": "does volunteer work",
    "volunteered": "did volunteer work",
    "named": "called",
    "store": "shop",
    "movies": "films",
    "competition": "contest",
    "contest": "competition",
    "an opportunity": "a chance",
    "opportunity": "chance",
    "challenges": "difficulties",
    "trying to": "attempting to",
    "upcoming": "coming",
    "inspiring": "motivating",
    "mentioned that": "said that",
    "mentions that": "says that",
    "started off": "began",
    "joined": "became part of",
    "admires": "looks up to",
    "discussed": "talked about",
    "runs": "operates",
    "crucial": "vital",
    "important": "essential",
    "significant": "important",
    "rewarding": "fulfilling",
    "awesome": "great",
    "tough": "hard",
    "kids": "children",
    "photo": "picture",
    "buddies": "friends",
    "folks": "people",
    "workmates": "colleagues",
    "grandma": "grandmother",
    "passed away": "died",
    "recently": "lately",
    "gratifying": "satisfying",
    "assures": "tells",
    "showcase": "show",
    "determined": "resolved",
    "fulfilling": "rewarding",
    "is not": "isn't", "are not": "aren't", "was not": "wasn't", "were not": "weren't",
    "does not": "doesn't", "do not": "don't", "did not": "didn't", "cannot": "can't",
    "it is": "it's", "it's": "it is",
    "really": "", "very": "", "just": "", "truly": "", "currently": "", "particularly": "",
}  # fmt: skip
_SYNONYM = re.compile(
    r"(?<![\w'-])(?:"
    + "|".join(re.escape(item) for item in sorted(_SYNONYMS, key=len, reverse=True))
    + r")(?![\w'-])"
)


def make_rewording(names: Collection[str]) -> Callable[[str], str]:
    """A rewording of statements about these people."""
    return lambda statement: reword(statement, names)


def reword(statement: str, names: Collection[str]) -> str:
    """The statement in other words; see the module."""
    plain = statement.rstrip(". ")
    turned = next(_turns(plain, names), plain)
    other = _exchange(turned)
    if statement_key(other) == statement_key(plain):
        other = _vouched(other, names)
    return f"{other[0].upper()}{other[1:]}."


def _turns(plain: str, names: Collection[str]) -> Iterator[str]:
    """The sentence turned round, in each way that fits."""
    who = plain.split(" ", 1)[0]
    for turn in _TURNS if who in names else _OTHER_TURNS:
        turned = turn(plain)
        if turned is not None:
            yield turned


def _opinion(plain: str) -> str | None:
    found = _OPINION.fullmatch(plain)
    if found is None or " and " in found["rest"] or not _is_clause(found["rest"]):
        return None
    return f"In {found['who']}'s view, {found['rest']}"


def _is_clause(text: str) -> bool:
    """It has a verb of its own: "dance has the power", unlike "blessed with love"."""
    return bool(re.search(r"\b(?:is|are|has|have|can|will|helps|makes|gives|keeps)\b", text))


def _finding(plain: str) -> str | None:
    found = _FINDS_IT.fullmatch(plain)
    if found is None or _CLAUSE.search(found["rest"]):
        return None
    return f"For {found['who']} it is {found['how']} to {found['rest']}"


def _passive(plain: str) -> str | None:
    found = _ABLE.fullmatch(plain)
    if found is None or found["verb"] not in _PARTICIPLES:
        return None
    if re.search(r" (?:and|to|that|which|where) ", found["rest"]):
        return None
    done = f"{found['rest']} was {_PARTICIPLES[found['verb']]} by {found['who']}"
    return f"{done}{found['when'] or ''}"


def _two(plain: str) -> str | None:
    found = _TWO.fullmatch(plain)
    if found is None or re.match(r"(?:and|or)\b", found["first"]):
        return None
    return f"{found['who']}, who {found['first']}, {found['second']}"


def _reason_first(plain: str) -> str | None:
    found = _LATER.fullmatch(plain)
    if found is None or _CLAUSE.search(plain) or re.search(r" and " + _SECOND, found["why"]):
        return None
    return f"{found['why'].strip()}, {found['who']} {found['first']}"


def _time_first(plain: str) -> str | None:
    found = _ONCE.fullmatch(plain)
    if found is None or re.search(r" (?:and|that|which|who|where) ", found["first"]):
        return None
    rest = f"{found['first']}{found['rest'].lstrip(' ')}".strip()
    return f"{found['when']}, {found['who']} {rest}".replace(" ,", ",")


def _owned(plain: str) -> str | None:
    found = _OWNED.fullmatch(plain)
    return None if found is None else f"the {found['what']} of {found['who']} {found['rest']}"


def _vouched(plain: str, names: Collection[str]) -> str:
    """The same words, by somebody's authority."""
    who, _, rest = plain.partition(" ")
    if who.strip(",") in names:
        return f"According to {who.strip(',')}, {who} {rest}"
    is_name = who.removesuffix("'s") in names
    return f"It is true that {plain if is_name else plain[0].lower() + plain[1:]}"


def _exchange(text: str) -> str:
    """Synonyms for words, and partners of an "and" in the other order."""
    other = _SYNONYM.sub(lambda match: _SYNONYMS[match.group()], text)
    return _PARTNERS.sub(r"\g<before>\g<other> and \g<one>", " ".join(other.split()))


def _reported(plain: str) -> str | None:
    """As somebody says it of themselves, by the pronoun."""
    who, _, rest = plain.partition(" ")
    for pronoun, told_by in _PRONOUNS.items():
        if told_by.search(rest) and not _ANYBODY_ELSE.search(rest):
            return f"{who} said that {pronoun} {rest}"
    return None


_TURNS = (_opinion, _finding, _passive, _two, _reason_first, _time_first, _reported)
_OTHER_TURNS = (_owned,)
