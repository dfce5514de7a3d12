"""How two statements of one subject relate: by rules where rules can tell, else by a verdict.

Rules are pure and cheap; what they leave open is collected, so that one question to a judge can
settle all of it. Without a verdict the cautious answer holds: two memories instead of one.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from pipelines.stages.dedup import is_duplicate, same_value, statement_key, value_key, vetoes
from pipelines.stages.verbatim import VERBATIM

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from config.policy import DedupPolicy
    from pipelines.model import Fact, Memory, Slot, Vector

# No judge is asked whether these may differ. What else stands against a merge (tense, roles,
# opposites) is read by rules that can misread a turned sentence: there a judge may know better.
_HARD_VETOES = frozenset({"number", "unit", "date", "name", "negation"})
# Who judged, where it was a person: such a verdict is never overruled by a model.
PERSON = "person"


class Relation(StrEnum):
    """What two statements of one subject are to each other."""

    SAME = "same"
    CHANGED = "changed"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Said:
    """A statement as it is compared.

    Attributes:
        at: Event time.
        quote: The words that it rests on.
        is_verbatim: It was only said beside the facts: not worth a question to a judge.
    """

    statement: str
    subject: str
    slot: Slot | None
    value: str | None
    at: datetime
    quote: str
    is_verbatim: bool = False


@dataclass(frozen=True, slots=True)
class Pair:
    """Two statements that rules cannot tell apart or together, the earlier one first."""

    earlier: Said
    later: Said
    cosine: float

    @property
    def is_in_slot(self) -> bool:
        """Whether they give the same single-valued attribute different values."""
        return _is_exclusive(self.earlier.slot) and self.earlier.slot == self.later.slot

    @property
    def key(self) -> str:
        """The same for the same question, whoever is asked when: order does not count.

        Inside a slot the values are compared, however they are worded.
        """
        slot = self.earlier.slot
        if self.is_in_slot and slot is not None:
            named = ("slot", slot.subject, slot.attribute)
            sides = sorted(value_key(item.value or "") for item in (self.earlier, self.later))
        else:
            named = ("free", self.earlier.subject.casefold(), "")
            sides = sorted(statement_key(item.statement) for item in (self.earlier, self.later))
        text = "\x1f".join((*named, *sides))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class Relations:
    """Answers how statements relate, and remembers what others may know better.

    Attributes:
        open: Pairs that the rules leave open, by key: for a judge.
        ruled: Pairs of different words that the rules hold for the same: a person may have said
            otherwise.
    """

    def __init__(
        self,
        policy: DedupPolicy,
        vector_of: Callable[[str], Vector],
        verdicts: Mapping[str, Relation] | None = None,
    ) -> None:
        self.policy = policy
        self.vector_of = vector_of
        self.open: dict[str, Pair] = {}
        self.ruled: dict[str, Pair] = {}
        self._verdicts = verdicts or {}

    def are_same(self, a: Said, b: Said) -> bool:
        """Whether two free statements say the same; symmetric."""
        if statement_key(a.statement) == statement_key(b.statement):
            return True
        cosine = float(self.vector_of(a.statement) @ self.vector_of(b.statement))
        if cosine < self.policy.min_ask:
            return False
        # The first one tells: no other comes before the hard ones.
        if next(vetoes(a.statement, b.statement), None) in _HARD_VETOES:
            return False
        if is_duplicate(a.statement, b.statement, cosine, self.policy):
            return self._overruled(a, b, cosine) is Relation.SAME
        if a.is_verbatim or b.is_verbatim:
            return False
        return self._verdict(a, b, cosine) is Relation.SAME

    def of_values(self, a: Said, b: Said) -> Relation:
        """How two values of one slot relate; values that merely differ replace each other."""
        if value_key(a.value or "") == value_key(b.value or ""):
            return Relation.SAME
        if same_value(a.value, b.value):
            return self._overruled(a, b, 1.0)
        return self._verdict(a, b, 0.0) or Relation.CHANGED

    def _overruled(self, a: Said, b: Said, cosine: float) -> Relation:
        pair = _in_time(a, b, cosine)
        self.ruled[pair.key] = pair
        return self._verdicts.get(pair.key, Relation.SAME)

    def _verdict(self, a: Said, b: Said, cosine: float) -> Relation | None:
        pair = _in_time(a, b, cosine)
        found = self._verdicts.get(pair.key)
        if found is None:
            self.open[pair.key] = pair
        return found


def _in_time(a: Said, b: Said, cosine: float) -> Pair:
    earlier, later = sorted((a, b), key=lambda item: (item.at, item.statement))
    return Pair(earlier, later, cosine)


def said_in_fact(fact: Fact) -> Said:
    """A fact as it is compared."""
    quote = fact.evidence[0].quote
    is_verbatim = fact.distilled_by == VERBATIM
    return Said(
        fact.statement, fact.subject, fact.slot, fact.value, fact.event_at, quote, is_verbatim
    )


def said_in_memory(memory: Memory) -> Said:
    """A memory as it is compared: by the words of whoever said it first."""
    quote = memory.evidence[0].quote if memory.evidence else ""
    is_verbatim, at = memory.distilled_by == VERBATIM, memory.valid_from
    return Said(memory.statement, memory.subject, memory.slot, memory.value, at, quote, is_verbatim)


def _is_exclusive(slot: Slot | None) -> bool:
    return slot is not None and slot.member is None
