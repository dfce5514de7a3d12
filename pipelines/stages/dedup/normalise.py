"""Text into comparable tokens, and the key under which two statements say the same."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

from pipelines.stages.composed import compatible
from pipelines.stages.dedup.numerals import in_digits

if TYPE_CHECKING:
    from collections.abc import Sequence

# Sentence ends stand among the tokens, because what begins a sentence is capitalised anyway.
STOP_TOKEN = "."  # noqa: S105 - a full stop, no credential
QUESTION_TOKEN = "?"  # noqa: S105 - a question mark, no credential

_CONTRACTIONS = (
    (re.compile(r"\b(ca)n't\b", re.IGNORECASE), r"\1n not"),
    (re.compile(r"\b(w)on't\b", re.IGNORECASE), r"\1ill not"),
    (re.compile(r"\b(sha)n't\b", re.IGNORECASE), r"\1ll not"),
    (re.compile(r"n't\b", re.IGNORECASE), " not"),
    (re.compile(r"'m\b", re.IGNORECASE), " am"),
    (re.compile(r"'re\b", re.IGNORECASE), " are"),
    (re.compile(r"'ve\b", re.IGNORECASE), " have"),
    (re.compile(r"'ll\b", re.IGNORECASE), " will"),
    (re.compile(r"'d(?= (?:been|better|already|gone|done)\b)", re.IGNORECASE), " had"),
    (re.compile(r"'d\b", re.IGNORECASE), " would"),
    (re.compile(r"\bo'clock\b", re.IGNORECASE), "oclock"),
    (re.compile(r"\b(he|she|it|that|this|there|here|what|who|where)'s\b", re.IGNORECASE), r"\1 is"),
)
_CANNOT = re.compile(r"\b(can)not\b", re.IGNORECASE)
_HALF_OF_DAY = re.compile(r"\b([ap])\.\s?m\b\.?", re.IGNORECASE)
_APOSTROPHES = (
    "\N{MODIFIER LETTER APOSTROPHE}\N{ACUTE ACCENT}\N{GRAVE ACCENT}"
    "\N{LEFT SINGLE QUOTATION MARK}\N{RIGHT SINGLE QUOTATION MARK}"
)
_DASHES = "\N{MINUS SIGN}\N{EN DASH}"
_RAISED = str.maketrans({raised: f"^{digit}" for digit, raised in enumerate("⁰¹²³⁴⁵⁶⁷⁸⁹")})
_VULGAR_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")
_BARE_DECIMAL = re.compile(r"(?<![\w.])\.(?=\d)")
_GROUPED = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_SIGN = re.compile(r"[^\w\s]")
_MAYBE_POLITE = re.compile(r"please|kindly|thank", re.IGNORECASE)
_POLITE = re.compile(
    r"^(?:(?:please|kindly)\b[\s,]*|(?:thanks|thank you)\s*[,.!]+\s*)+"
    r"|[,.!;]\s*(?:thanks|thank you)[\s.!]*$"
    r"|(?<!\bto )\bplease\b",
    re.IGNORECASE,
)


@lru_cache(maxsize=1024)
def statement_key(statement: str) -> str:
    """The key that two statements share only if they say the same, word for word.

    Case, punctuation, articles, politeness and the spelling of numbers and contractions do
    not count; numbers, signs with a meaning (``C#``, ``$``, ``?``) and negation do.
    """
    # Most statements hold none of this, and the key is taken of every one recalled.
    polite_free = _POLITE.sub(" ", statement) if _MAYBE_POLITE.search(statement) else statement
    words = [word for word in _without_articles(tokens(polite_free)) if word != STOP_TOKEN]
    return _caseless(" ".join(words)) or " ".join(_caseless(statement).split())


@lru_cache(maxsize=1024)
def tokens(text: str) -> tuple[str, ...]:
    """Words, numbers in digits, signs with a meaning and sentence ends; case is kept."""
    text = _expanded(text.replace("`", "'") if text.isascii() else _in_plain_signs(text))
    text = _GROUPED.sub(lambda match: match[0].replace(",", ""), _BARE_DECIMAL.sub("0.", text))
    return tuple(in_digits(_SIGN.sub(_separated, text).split()))


def _expanded(text: str) -> str:
    """Contractions in full."""
    text = _HALF_OF_DAY.sub(r"\1m", _CANNOT.sub(r"\1 not", text))
    if "'" in text:
        for pattern, full in _CONTRACTIONS:
            text = pattern.sub(full, text)
    return text


def _in_plain_signs(text: str) -> str:
    """Composed, with ASCII digits, apostrophes and dashes, without what is invisible."""
    text = _VULGAR_FRACTION.sub(" ", text.translate(_RAISED))
    return "".join(map(_plain, compatible(text)))


def _caseless(text: str) -> str:
    if text.isascii():
        return text.lower()
    return compatible(compatible(text).casefold())


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    if character in _APOSTROPHES:
        return "'"
    if character in _DASHES:
        return "-"
    if character == "\N{FRACTION SLASH}":
        return "/"
    return "" if category == "Cf" or character == "\N{VARIATION SELECTOR-16}" else character


def _separated(match: re.Match[str]) -> str:
    sign, text = match[0], match.string
    before = text[max(0, match.start() - 1) : match.start()]
    after = text[match.end() : match.end() + 1]
    if _belongs(sign, before, after):
        return sign
    if sign == "&":
        return " and "
    if sign == QUESTION_TOKEN:
        return f" {QUESTION_TOKEN} "
    if sign in ".!;:" and not after.strip():
        return f" {STOP_TOKEN} "
    category = unicodedata.category(sign)[0]
    if category == "M":
        return sign
    return f" {sign} " if category == "S" or sign in "%@#" else " "


def _belongs(sign: str, before: str, after: str) -> bool:
    """Whether a sign is part of its word: 3.9, 17:00, 2023-05-08, -5, C++, F#, #7."""
    if sign in ".,:/-" and before.isdigit() and after.isdigit():
        return True
    if sign in "+-" and not before.strip(" ([") and after.isdigit():
        return True
    if sign in "+#" and (before.isalpha() or before == "+") and not after.isalnum():
        return True
    return sign == "#" and after.isalnum()


def _without_articles(words: Sequence[str]) -> list[str]:
    """Drop articles; a capital A inside a sentence is a name (plan A), and so is a last one."""
    kept: list[str] = []
    for position, word in enumerate(words):
        at_start = position == 0 or words[position - 1] == STOP_TOKEN
        is_article = word in {"a", "an", "the"} or (at_start and word in {"A", "An", "The"})
        is_last = position + 1 == len(words) or words[position + 1] == STOP_TOKEN
        if is_last or not is_article:
            kept.append(word)
    return kept
