"""Letters that look like others, and letters that are not seen: what a reader would read."""
# ruff: noqa: RUF001 - look-alikes are what this is about

from __future__ import annotations

import re

from pipelines.stages.composed import compatible, without_marks

# Each look-alike before the Latin letter that it passes for.
_PAIRS = (
    "аa еe оo рp сc уy хx іi јj ѕs ԁd һh АA ВB ЕE КK МM НH ОO РP СC ТT УY ХX ІI ЈJ ЅS "
    "ΑA ΒB ΕE ΖZ ΗH ΙI ΚK ΜM ΝN ΟO ΡP ΤT ΥY ΧX αa εe ιi οo ρp υu νv ɡg ıi ⅼl ոn սu"
)
_SAME = {ord(pair[0]): pair[1] for pair in _PAIRS.split()}
_FULL_WIDTH = {sign: chr(sign - 0xFEE0) for sign in range(0xFF01, 0xFF5F)}
_TABLE = _SAME | _FULL_WIDTH
_HIDDEN = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064"
    r"\u2066-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]"
)
_SPACED = re.compile(r"(?<!\w)(?:\w[ .\-_*]){4,}\w(?!\w)")
_NOT_A_LETTER = re.compile(r"[\W_]+")


def plain_letters(text: str) -> str:
    """A text of the same length with look-alikes as the Latin letters that they pass for."""
    return text if text.isascii() else text.translate(_TABLE)


def as_read(text: str) -> str:
    """What somebody reads: nothing hidden, no accents put on top, no s p a c e d words."""
    if not text.isascii():
        text = without_marks(compatible(_HIDDEN.sub("", text)).translate(_TABLE))
    return _SPACED.sub(lambda word: _NOT_A_LETTER.sub("", word.group()), text)
