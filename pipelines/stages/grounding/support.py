"""Whether the numbers, names and words of a statement occur in what it cites."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pipelines.stages.dedup import lexicon
from pipelines.stages.dedup.numerals import in_digits
from pipelines.stages.dedup.reading import canonical, canonicals
from pipelines.stages.wordlist import word_set

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a message may say for a number that a statement writes as one.
_IMPLIED = {
    "a": "1", "an": "1", "one": "1", "once": "1", "single": "1", "twice": "2", "both": "2",
    "couple": "2", "pair": "2", "double": "2", "twins": "2", "thrice": "3", "triplets": "3",
    "half": "50",
}  # fmt: skip
# Pronoun and adverb more often than numbers.
_UNCHECKED = frozenset({"one", "first"})

_FIGURE = re.compile(r"\d{1,30}(?:[.,]\d{1,30}){0,8}(?:\s?(?:k|m|bn)(?![a-z]))?", re.IGNORECASE)
_THOUSANDS = re.compile(r"\d{1,3}(?:[.,]\d{3})+")
_MULTIPLES = {"k": 1_000, "m": 1_000_000, "bn": 10**9}
_TOKEN = re.compile(r"\d{1,30}(?:[.,]\d{1,30}){0,8}|[^\W\d_]+")
_NAME = re.compile(r"[^\W_](?:[^\W_]|['\u2019&.-](?=[^\W_]))*")
_SENTENCE_START = re.compile(
    r"(?:^|[.!?:;\u2022(\u2026\n]|\s[-\u2013\u2014])[\s\"'\u201c\u201d\u2018\u2019(\[*]*$"
)
_COMMON = word_set(
    """
    i i'm i've i'll i'd ok okay mr mrs ms dr user assistant am pm tv diy nutzer nutzerin nutzers
    benutzer benutzerin usuario usuaria utilisateur utilisatrice utente usu\u00e1rio gebruiker
    """
)
# What is left of a name when the form that the evidence has is taken off its beginning.
_NAME_ENDINGS = frozenset(("", "s", "y", "an", "ian", "ians", "ish", "ese", "i", "ic"))
_ABBREVIATED = {"q1": "quarter", "q2": "quarter", "q3": "quarter", "q4": "quarter",
                "ram": "memory"}  # fmt: skip
_SHORTEST_STEM = 4
# Of no substance in any statement, and what is left of contractions.
_TOLD = word_set(
    """
    currently recently able unable user person someone people conversation don doesn didn isn wasn
    weren won ll ve re haven hasn hadn couldn wouldn shouldn aren ain
    """
)
_NAME_RUN = re.compile(r"(?:[A-Z][\w'-]{1,40} ){1,4}[A-Z][\w'-]{1,40}")
_SECOND_HAND = re.compile(r"\b(?:second|first)[- ]hand(?:ed)?\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W\d_]{1,40}")
_INNER_SIGNS = re.compile(r"[-.&']")
_OPENING = re.compile(
    r"\W*(?P<name>[A-Z]\w{2,30}) (?:[a-z]{2,}ed|[a-z]{3,}s|is|was|has|had|will|can|lost|won|met"
    r"|made|got|took|went|said|says|gave|bought|sold|left|found|told)\b"
)
_OPENERS = (
    lexicon.OPENERS
    | lexicon.FUNCTION_WORDS
    | word_set(
        "someone somebody everybody anybody something there user users people participants speaker"
    )
)
# How it was said or meant is read between the lines: where the evidence has such a word it counts,
# elsewhere nothing is missing.
_ATTITUDES = word_set(
    """
    support supports supported supporting supportive encourage encourages encouraged encouraging
    encouragement appreciate appreciates appreciated value values valued grateful gratitude thankful
    offer offers offered assure assures assured admire admires admired suggest suggests suggested
    recommend recommends recommended advise advises advised ask asks asked agree agrees agreed
    empathizes understand understands acknowledge acknowledges motivate motivates inspire inspires
    express expresses expressed expressing mention mentions mentioned mentioning share shares shared
    describe describes tell tells told think thinks believe believes believed find finds found
    consider considers considering state states stated indicate indicates seem seems appear appears
    plan plans planning planned feel feels cheer cheers
    """
)
_UNCOUNTED = (
    lexicon.NEGATORS | lexicon.UNITS.keys() | lexicon.MONTHS.keys() | lexicon.WEEKDAYS.keys()
)
_ANSWERS = word_set(
    """
    i we you he she they me us them yes yeah yep nope ok okay sure thanks thank please right exactly
    correct true well oh hi hey hello maybe will would can could should
    """
)


@dataclass(frozen=True, slots=True)
class Support:
    """What a text says, as far as statements are held to it.

    Attributes:
        words: Every word, case-folded, also the parts of compounds.
        numbers: Every number in figures, also those said in words or implied ("twice").
        stems: The words of substance in canonical form.
        initials: What its names of several words are in short: "nyc".
    """

    words: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    stems: frozenset[str] = frozenset()
    initials: frozenset[str] = frozenset()

    def __or__(self, other: Support) -> Support:
        return Support(
            self.words | other.words,
            self.numbers | other.numbers,
            self.stems | other.stems,
            self.initials | other.initials,
        )


def read_support(text: str) -> Support:
    """Read a text once, for many statements."""
    words = split_words(text)
    forms = _figures(text) | _figures(_folded(text))
    implied = {_IMPLIED[word] for word in words & _IMPLIED.keys()}
    return Support(
        words, frozenset().union(implied, *forms), substance(text), frozenset(_initials(text))
    )


def unsupported_numbers(statement: str, support: Support) -> set[str]:
    """Numbers of the statement, in figures or words, that the evidence does not say."""
    forms = _figures(_folded(statement, without=_UNCHECKED))
    return {min(readings) for readings in forms if not readings & support.numbers}


def unsupported_names(statement: str, support: Support) -> set[str]:
    """Capitalised words inside sentences that the evidence does not contain."""
    long = {
        word.casefold() for run in _NAME_RUN.findall(statement) if _in_short(run) in support.words
        for word in run.split()
    }  # fmt: skip
    return {
        name
        for name in _names(statement)
        if name.casefold() not in long | support.initials
        and not all(_is_named(part, support) for part in _parts(name))
    }


def is_strange_opening(statement: str, support: Support) -> bool:
    """Whether it begins with somebody whom the evidence does not know: "Rashid fixed it".

    A capital means nothing there, so only what a verb follows is taken for a name.
    """
    opening = _OPENING.match(statement)
    if opening is None or _plain(opening["name"]) in _OPENERS or opening["name"].endswith("ing"):
        return False
    return not all(
        _is_named(part, support) or _is_covered(canonical(part), support.stems)
        for part in _parts(opening["name"])
    )


def coverage(statement: str, support: Support, known: frozenset[str] = frozenset()) -> float:
    """The share of a statement's words of substance that the evidence has in any form.

    Numbers do not count, nor do the ``known`` words: names of who takes part. A statement
    without any such word is covered.
    """
    stated = substance(statement) - canonicals(known)
    covered = {word for word in stated if _is_covered(word, support.stems)}
    counted = covered | (stated - _attitudes())
    return len(covered) / len(counted) if counted else 1.0


@lru_cache(maxsize=1)
def _attitudes() -> frozenset[str]:
    return frozenset(map(canonical, _ATTITUDES))


def substance(text: str) -> frozenset[str]:
    """The words of substance in canonical form, without numbers."""
    words = {word.casefold() for word in _WORD.findall(text)}
    return frozenset(canonical(word) for word in words if _has_substance(word))


def has_substance(quote: str) -> bool:
    """Whether a quote says anything at all: "I", "yes" and "." do not."""
    words = {word.casefold() for word in _WORD.findall(quote)}
    empty = lexicon.FUNCTION_WORDS | lexicon.NEGATORS | _ANSWERS
    return bool(words - empty) or any(sign.isdigit() for sign in quote)


def _has_substance(word: str) -> bool:
    light = word in lexicon.FUNCTION_WORDS or word in lexicon.LIGHT_WORDS or word in _TOLD
    return len(word) > 1 and not light and word not in _UNCOUNTED


def _is_covered(word: str, stems: frozenset[str]) -> bool:
    """Also by a word of the same family: decision and decide, nursing and nurse."""
    if word in stems:
        return True
    family = word[:5]
    return len(family) > _SHORTEST_STEM and any(stem.startswith(family) for stem in stems)


def _is_named(part: str, support: Support) -> bool:
    """Whether the evidence has a name, be it in the plural or as what comes from there."""
    if part in support.words or _ABBREVIATED.get(part) in support.words:
        return True
    return any(
        word.startswith(part[:_SHORTEST_STEM]) and _is_form(part, word)
        for word in support.words
        if len(word) >= _SHORTEST_STEM
    )


def _is_form(one: str, other: str) -> bool:
    """Spain and Spanish, Novak and Novaks, Italy and Italian; not John and Johnson."""
    shared = next(
        (at for at, pair in enumerate(zip(one, other, strict=False)) if pair[0] != pair[1]),
        min(len(one), len(other)),
    )
    if shared < _SHORTEST_STEM:
        return False
    rests = {one[shared:], other[shared:]}
    return rests <= _NAME_ENDINGS or (rests <= {"", "n", "ns"} and one[shared - 1] == "a")


def _initials(text: str) -> Iterator[str]:
    for run in _NAME_RUN.findall(text):
        yield _in_short(run)


def _in_short(run: str) -> str:
    return "".join(word[0] for word in run.split()).casefold()


def split_words(text: str) -> frozenset[str]:
    """The words of a text as they are compared: case-folded, without possessive endings."""
    return frozenset(part for match in _NAME.finditer(text) for part in _parts(match.group()))


def _folded(text: str, without: frozenset[str] = frozenset()) -> str:
    """A text with its number words in figures."""
    words = [
        word
        for word in _TOKEN.findall(_SECOND_HAND.sub("used", text))
        if word.casefold() not in without
    ]
    return " ".join(in_digits(words))


def _figures(text: str) -> set[frozenset[str]]:
    return {_readings(match.group()) for match in _FIGURE.finditer(text)}


def _readings(figure: str) -> frozenset[str]:
    """What a written number can mean: "1,000" is 1000 or 1, "5k" is 5000 or 5."""
    digits = figure.rstrip("kKmMbBnN ")
    suffix = figure[len(digits) :].strip().casefold()
    forms = {_trim(digits.replace(",", "."))}
    if _THOUSANDS.fullmatch(digits):
        forms.add(_trim(re.sub(r"[.,]", "", digits)))
    if suffix:
        forms |= {str(int(form) * _MULTIPLES[suffix]) for form in forms if form.isdecimal()}
    return frozenset(forms)


def _trim(number: str) -> str:
    whole, _, fraction = number.partition(".")
    whole = whole.lstrip("0") or "0"
    return f"{whole}.{fraction.rstrip('0')}" if fraction.strip("0") else whole


def _names(statement: str) -> list[str]:
    return [
        match.group()
        for match in _NAME.finditer(statement)
        if match.group()[0].isupper()
        and _plain(match.group()).removesuffix("'s") not in _COMMON
        and not _SENTENCE_START.search(statement, max(0, match.start() - 8), match.start())
    ]


def name_words(text: str) -> frozenset[str]:
    """The names inside the sentences of a text, case-folded; months and weekdays are none."""
    names = {part for name in _names(text) for part in _parts(name)}
    return frozenset(names - lexicon.MONTHS.keys() - lexicon.WEEKDAYS.keys())


# Most words of a text are those of every text.
@lru_cache(maxsize=2048)
def _parts(word: str) -> frozenset[str]:
    return frozenset(part for part in _INNER_SIGNS.split(_plain(word).removesuffix("'s")) if part)


def _plain(word: str) -> str:
    return word.casefold().replace("\u2019", "'")
