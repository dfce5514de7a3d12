"""Cuts a message into sentences that stand in it verbatim; code and logs are left out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipelines.stages.wordlist import word_set

if TYPE_CHECKING:
    from collections.abc import Iterator

_CODE_BLOCK = re.compile(r"(?ms)^[ \t]*(```|~~~).*?(?:^[ \t]*\1[ \t]*$|\Z)|```[^`]*+```")
_SOFT_BREAK = re.compile(r"(?<=[\w,])[ \t]?\r?\n[ \t]?(?=[a-z])")
_OPEN_BREAK = re.compile(
    r"\b(a|an|the|to|in|at|on|of|my|our|your|with|for|from|and|or|is|was|are)"
    r"[ \t]*\r?\n[ \t]*(?=\w)",
    re.IGNORECASE,
)
_MARKER = re.compile(r"[ \t]*+(?:(?:[-*+•\u2013]|#{1,6}|\d{1,3}[.)])[ \t]++)*+")
_IMAGE = re.compile(
    r"(\[(?:shares|shared|sends|sent|attaches|attached)\b[^\[\]\n]{1,400}\])", re.IGNORECASE
)
_END = re.compile(
    r"(?:[.!?…]{1,40}|[\u2600-\u27bf\U0001f300-\U0001faff]\ufe0f?)[\"'\u201d\u2019)\]]{0,4}\s{1,40}"
)
_LAST_WORD = re.compile(r"[^\s(\[\"'\u201c]{1,24}$")
# After these a capital goes on with the sentence; after those of the second set a digit does.
_TITLES = word_set("mr mrs ms dr prof jr sr st mt messrs e.g i.e cf u.s u.k")
_COUNTERS = word_set("no nr fig vol approx p pp jan feb mar apr jun jul aug sep sept oct nov dec")
_LOG_LINE = re.compile(
    r"""\s*+(?:
        \[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d            # a timestamp first
      | \[?\d\d:\d\d:\d\d
      | \[?(?:TRACE|DEBUG|INFO|WARN(?:ING)?|ERROR|FATAL|CRITICAL)\b\]?[ :|\t]
      | Traceback\ \(most\ recent | File\ ".*",\ line\ \d | at\ [\w.$<>]{1,200}\(
      | [\w.]+(?:Error|Exception|Warning):[ ]
      | [$%>]\ \S | >>>\ | \.\.\.\ | [{}\[\]();]+,?\s*$ | \| | @@\ | diff\ --git
      | (?:import|from|def|class|const|let|var|function|return|public|private)\b.*[:;({=]\s*$
      | </?[a-zA-Z!]
    )""",
    re.VERBOSE,
)
_WORDLIKE = re.compile(r"[^\W\d_]")
_MIN_WORDLIKE_SHARE = 0.55
_LONGEST = 1200


def split_sentences(content: str) -> Iterator[str]:
    """Sentences of a message in order, each standing in it verbatim but for line breaks.

    What runs on for more than 1,200 characters without an end is no sentence.
    An attachment note such as ``[shares image: …]`` is a sentence of its own.
    """
    for line in _prose_lines(content):
        for piece in _split_images(line):
            yield from _split_line(piece)


def is_image(sentence: str) -> bool:
    """Whether a sentence is only an attachment note."""
    return _IMAGE.fullmatch(sentence) is not None


def _prose_lines(content: str) -> Iterator[str]:
    lines = _unwrap(_CODE_BLOCK.sub("\n", content)).splitlines()
    return (line[_marker_end(line) :].strip() for line in lines if _is_prose(line))


def _unwrap(text: str) -> str:
    """Joins lines that were broken inside a sentence."""
    return _OPEN_BREAK.sub(r"\1 ", _SOFT_BREAK.sub(" ", text))


def _marker_end(line: str) -> int:
    match = _MARKER.match(line)
    return match.end() if match else 0


def _is_prose(line: str) -> bool:
    text = line.strip()
    if not text or _LOG_LINE.match(line):
        return False
    letters = len(_WORDLIKE.findall(text)) + text.count(" ")
    return letters >= _MIN_WORDLIKE_SHARE * len(text)


def _split_images(line: str) -> list[str]:
    return [part.strip() for part in _IMAGE.split(line) if part and part.strip()]


def _split_line(line: str) -> Iterator[str]:
    ends = () if is_image(line) else _END.finditer(line)
    start = 0
    for match in ends:
        if _ends_sentence(line, start, match):
            yield from _if_fit(line[start : match.end()].strip())
            start = match.end()
    yield from _if_fit(line[start:].strip())


def _if_fit(sentence: str) -> tuple[str, ...]:
    return (sentence,) if 0 < len(sentence) <= _LONGEST else ()


def _ends_sentence(line: str, start: int, match: re.Match[str]) -> bool:
    following = line[match.end() : match.end() + 1]
    mark = match.group().strip()[:1]
    if mark not in ".…" or match.group().startswith(".."):
        return not following.islower() or mark in "!?"
    if following.islower():
        return False
    return not _is_abbreviation(line[max(start, match.start() - 24) : match.start()], following)


def _is_abbreviation(before: str, following: str) -> bool:
    found = _LAST_WORD.search(before)
    word = found.group().casefold() if found else ""
    if word in _COUNTERS:
        return following.isdigit()
    return word in _TITLES or (len(word) == 1 and word.isalpha() and word != "i")
