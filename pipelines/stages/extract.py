"""A summary made of the sentences that say most, word for word: no model, no invention."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.stages.dedup import statement_key
from pipelines.stages.injection.fence import strip_fenced
from pipelines.stages.injection.orders import is_memory_order
from pipelines.stages.offline.sentences import split_sentences
from pipelines.stages.wordlist import phrase_pattern, word_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    Count = Callable[[Sequence[str]], list[int]]

EXTRACTIVE = "extractive/1"

_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")
# A capital inside a sentence, a path, a call, an identifier.
_NAME = re.compile(r"(?<=[\w,;:\"'(] )[\"'(]?[A-Z]\w+|\w+(?:[._/-]\w+)+|\w+\(\)|\b[A-Z]{2,}\b")
_SETTLED = phrase_pattern(
    r"""
    decided|agreed|chose|chosen|approved|rejected|confirmed|settled|must|must not|never|always
    failed|fails|failing|error|broke|broken|bug|because|caused|cause|root cause|fixed|works
    deadline|due|blocked|blocker|todo|next step|goal|wants|prefers|needs|requires|required|allergic
    do not|don't|cannot|can't|not allowed|only|instead|result|found|conclusion|plan
    """
)
_SMALL_TALK = phrase_pattern(
    r"""
    hello|hi|thanks|thank you|you're welcome|great|sounds good|okay|ok|sure|let me know|please
    no problem|happy to help|good morning|one moment|let me see|hmm
    """
)
_WORD = re.compile(r"\w+")
_EMPTY = word_set("a an the is are was were to of in on at and or it this that i you we be as for")
_LONG_LINE = 300


@dataclass(frozen=True, slots=True)
class _Sentence:
    place: int
    text: str
    worth: float


def extract(texts: Sequence[str], max_tokens: int, count: Count) -> str:
    """The sentences that say most, in their order, within so many tokens.

    Deterministic. What orders the memory about is left out, and what is said twice stands once.

    Args:
        texts: In order; the first may be a summary made before.
        max_tokens: Never more; something is given as long as one word fits.
        count: Tokens of each of some texts.
    """
    sentences = list(_once(text for item in texts for text in _sentences(item)))
    if not sentences:
        sentences = _lines(texts)
    rated = [
        _Sentence(place, text, _worth(text, place / len(sentences)))
        for place, text in enumerate(sentences)
    ]
    chosen = _choose(rated, max_tokens, count)
    if chosen:
        return " ".join(item.text for item in sorted(chosen, key=lambda item: item.place))
    best = max(rated, key=lambda item: item.worth, default=None)
    return "" if best is None else _cut(best.text, max_tokens, count)


def keep_supported(summary: str, texts: Sequence[str]) -> str:
    """A model's summary without what it may not say.

    Left out are marks of recall, sentences that order the memory about, and those with a number
    that stands nowhere in what was summarised.
    """
    known = {number for text in texts for number in _numbers(text)}
    sentences = _sentences(summary) or ([] if is_memory_order(summary) else _lines([summary]))
    return " ".join(text for text in sentences if _numbers(text) <= known)


def _sentences(text: str) -> list[str]:
    told = strip_fenced(text)
    return [sentence for sentence in split_sentences(told) if not is_memory_order(sentence)]


def _lines(texts: Iterable[str]) -> list[str]:
    """Where nothing is a sentence (code, a table): the beginning of each line."""
    lines = (line.strip() for text in texts for line in strip_fenced(text).splitlines())
    said = (line[:_LONG_LINE] for line in lines if _WORD.search(line))
    return list(_once(line for line in said if not is_memory_order(line)))


def _once(sentences: Iterable[str]) -> Iterable[str]:
    """The last time that something is said counts: it is the more recent."""
    last: dict[str, str] = {}
    for sentence in sentences:
        key = statement_key(sentence)
        last.pop(key, None)
        last[key] = sentence
    return last.values()


def _worth(sentence: str, recency: float) -> float:
    words = [word for word in _WORD.findall(sentence.casefold()) if word not in _EMPTY]
    if not words:
        return 0.0
    worth = 1.0 + 0.5 * recency
    worth += 1.5 * min(2, len(_NUMBER.findall(sentence)))
    worth += 1.0 * min(3, len(_NAME.findall(sentence)))
    worth += 2.0 * bool(_SETTLED.search(sentence))
    worth -= 1.5 * bool(_SMALL_TALK.match(sentence))
    worth -= 1.0 * sentence.endswith("?")
    # A long sentence has room for more of all that, and costs more.
    return worth / (1.0 + len(words) / 40)


def _choose(rated: Sequence[_Sentence], max_tokens: int, count: Count) -> list[_Sentence]:
    left = max_tokens
    chosen: list[_Sentence] = []
    ranked = sorted(rated, key=lambda item: (-item.worth, -item.place))
    # The blank between two sentences may be a token of its own.
    for item, tokens in zip(ranked, count([item.text for item in ranked]), strict=True):
        if tokens + bool(chosen) <= left:
            chosen.append(item)
            left -= tokens + (len(chosen) > 1)
    return chosen


def _cut(text: str, max_tokens: int, count: Count) -> str:
    """The longest beginning in whole words that fits."""
    words = text.split()
    low, high = 0, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        fits = count([" ".join(words[:middle])])[0] <= max_tokens
        low, high = (middle, high) if fits else (low, middle - 1)
    return " ".join(words[:low])


def _numbers(text: str) -> set[str]:
    return {number.replace(",", "") for number in _NUMBER.findall(text)}
