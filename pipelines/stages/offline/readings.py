"""What a sentence states, piece by piece: an attribute takes along nothing said beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipelines.stages.offline.clauses import join_clauses, split_clauses
from pipelines.stages.offline.members import split_list
from pipelines.stages.offline.slots import SlotValue, is_doubtful, read_slots
from pipelines.stages.offline.voice import strip_filler

if TYPE_CHECKING:
    from pipelines.stages.offline.clauses import Clause


@dataclass(frozen=True, slots=True)
class Reading:
    """A piece of a sentence.

    Attributes:
        quote: It stands in the sentence like this.
        words: What it says, in the words of the speaker: the quote, or only one thing of it.
        slot: The attribute that it states, if any.
    """

    quote: str
    words: str
    slot: SlotValue | None = None


def read_sentence(sentence: str) -> list[Reading]:
    """The pieces in order; the whole sentence where it states no attribute for sure."""
    if is_doubtful(strip_filler(sentence)):
        return [Reading(sentence, sentence)]
    readings: list[Reading] = []
    plain: list[Clause] = []
    for clause in split_clauses(sentence):
        found = _read_clause(clause)
        if not found:
            plain.append(clause)
            continue
        readings += _as_one(sentence, plain) + found
        plain = []
    return readings + _as_one(sentence, plain) if readings else [Reading(sentence, sentence)]


def _read_clause(clause: Clause) -> list[Reading]:
    """The attributes that a clause states; nothing if it states none."""
    core = strip_filler(clause.core)
    things = [(words, read_slots(words)) for words in split_list(core)]
    if any(slots for _, slots in things):
        return [Reading(clause.text, words, slots[0] if slots else None) for words, slots in things]
    return [
        Reading(clause.text, _up_to(core, slot) if slot.is_aside else clause.text, slot)
        for slot in read_slots(core)
    ]


def _up_to(words: str, slot: SlotValue) -> str:
    """The words as far as they are about a value: of what replaced it another reading tells."""
    last = (slot.value or "").rpartition(" ")[2]
    return words[: words.find(last) + len(last)]


def _as_one(sentence: str, clauses: list[Clause]) -> list[Reading]:
    """What stands between the attributes, in one piece."""
    if not clauses:
        return []
    text = join_clauses(sentence, clauses)
    return [Reading(text, text)]
