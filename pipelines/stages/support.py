"""Whether the numbers and names of a statement occur in what it cites."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipelines.stages.dedup.numerals import in_digits
from pipelines.stages.wordlist import word_set

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
_COMMON = word_set("i i'm i've i'll i'd ok okay mr mrs ms dr user assistant am pm tv diy")
_INNER_SIGNS = re.compile(r"[-.&']")


@dataclass(frozen=True, slots=True)
class Support:
    """What a text says, as far as statements are held to it.

    Attributes:
        words: Every word, case-folded, also the parts of compounds.
        numbers: Every number in figures, also those said in words or implied ("twice").
    """

    words: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()

    def __or__(self, other: Support) -> Support:
        return Support(self.words | other.words, self.numbers | other.numbers)


def read_support(text: str) -> Support:
    """Read a text once, for many statements."""
    words = split_words(text)
    forms = _figures(text) | _figures(_folded(text))
    implied = {_IMPLIED[word] for word in words & _IMPLIED.keys()}
    return Support(words, frozenset().union(implied, *forms))


def unsupported_numbers(statement: str, support: Support) -> set[str]:
    """Numbers of the statement, in figures or words, that the evidence does not say."""
    forms = _figures(_folded(statement, without=_UNCHECKED))
    return {min(readings) for readings in forms if not readings & support.numbers}


def unsupported_names(statement: str, support: Support) -> set[str]:
    """Capitalised words inside sentences that the evidence does not contain."""
    return {name for name in _names(statement) if not _parts(name) <= support.words}


def split_words(text: str) -> frozenset[str]:
    """The words of a text as they are compared: case-folded, without possessive endings."""
    return frozenset(part for match in _NAME.finditer(text) for part in _parts(match.group()))


def _folded(text: str, without: frozenset[str] = frozenset()) -> str:
    """A text with its number words in figures."""
    words = [word for word in _TOKEN.findall(text) if word.casefold() not in without]
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
        and _plain(match.group()) not in _COMMON
        and not _SENTENCE_START.search(statement, max(0, match.start() - 8), match.start())
    ]


def _parts(word: str) -> set[str]:
    return {part for part in _INNER_SIGNS.split(_plain(word).removesuffix("'s")) if part}


def _plain(word: str) -> str:
    return word.casefold().replace("\u2019", "'")
