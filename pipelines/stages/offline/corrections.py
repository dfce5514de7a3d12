"""Reads what a speaker takes back in the same conversation: "Actually, I meant Tuesday"."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.stages.offline.phrases import AMOUNT, DAY, MONTH_DAY, NAME, WEEKDAY
from pipelines.stages.wordlist import straight

if TYPE_CHECKING:
    from pipelines.stages.offline.slots import SlotValue

_SLIP = r"(?:actually|sorry|no|nope|wait|oops|correction|hang on|hold on|typo|my mistake|my bad)"
_MEANT = r"(?:i meant|i mean|make (?:that|it)|i should have said|that should be|it should be)"
_VALUE = rf"(?:on |at |in )?(?P<value>{DAY}|{AMOUNT}|{NAME.replace('(?P<value>', '(?:')})"
_NOT = r"(?:,? (?:and )?not [^.!?]{1,40})?"
_CORRECTION = re.compile(
    rf"(?:{_SLIP}[\s,.!:-]+)*(?:(?P<meant>(?i:{_MEANT}))|(?P<is>(?i:it's|it is|that's)))\s+"
    rf"{_VALUE}{_NOT}[\s.!]*$"
)
_OPENS_WITH_SLIP = re.compile(rf"{_SLIP}\b", re.IGNORECASE)
_SHAPES = (
    ("weekday", re.compile(rf"(?:next |every |on )?{WEEKDAY}\b.*")),
    ("date", re.compile(rf"{MONTH_DAY}|\d{{4}}-\d\d-\d\d")),
    ("amount", re.compile(AMOUNT)),
)
_NAMED = frozenset({"home city", "employer", "name", "manager"})
_UNIT = re.compile(r"[^\d.,\s]+")


def find_correction(sentence: str, last: SlotValue) -> SlotValue | None:
    """The attribute that was stated last with the value that was meant.

    Only a value of the same sort can be what was meant: a day for a day, euros for euros.
    """
    plain = straight(sentence).strip()
    match = _CORRECTION.match(plain[:1].lower() + plain[1:]) or _CORRECTION.match(plain)
    if match is None or last.value is None or last.ends:
        return None
    if match["is"] and not _OPENS_WITH_SLIP.match(plain):
        return None
    value = match["value"].strip().rstrip(".,!")
    if _shape(value) != _shape(last.value):
        return None
    if _shape(value) is None and (not match["meant"] or last.attribute not in _NAMED):
        return None
    return replace(last, value=value)


def _shape(value: str) -> str | None:
    name = next((name for name, pattern in _SHAPES if pattern.fullmatch(value)), None)
    return f"amount {' '.join(_UNIT.findall(value))}" if name == "amount" else name
