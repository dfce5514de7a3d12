"""Procedures: how things are done, what statement names one, and whether it said that it worked."""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType

from pipelines.errors import InputError
from pipelines.model import NAMESPACE, MemoryId, Owner
from pipelines.stages.dedup import statement_key
from pipelines.stages.dedup.reading import read
from pipelines.stages.wordlist import phrase_pattern, straight

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

ProcedureId = NewType("ProcedureId", uuid.UUID)

MAX_NAME_CHARS = 200
MAX_STEPS = 100
MAX_STEP_CHARS = 2_000
MIN_WORDS = 2
"""A name with fewer words of substance is met in statements about anything."""
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Instruction:
    """What is to be done, in order, under a name."""

    name: str
    steps: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Procedure:
    """One version of it; the newest one is current, the others stay as history.

    Attributes:
        version: From 1; the steps of a version never change.
        since: From when on these steps were known; an outcome of that time or later counts here.
        learned_from: The memory that said it; None where an agent wrote it down.
        successes, failures: Outcomes of this version alone.
        cites: Memories that told of its outcomes.
    """

    id: ProcedureId
    owner: Owner
    name: str
    steps: tuple[str, ...]
    version: int
    since: datetime
    learned_from: MemoryId | None = None
    successes: int = 0
    failures: int = 0
    cites: tuple[MemoryId, ...] = ()

    @property
    def success_rate(self) -> float:
        """How likely it works the next time."""
        return smoothed_rate(self.successes, self.failures)


def smoothed_rate(successes: int, failures: int) -> float:
    """The rule of succession: (successes + 1) / (outcomes + 2).

    It is the mean of the Beta(1 + s, 1 + f) that a uniform prior becomes after s successes and f
    failures (P. S. Laplace, Essai philosophique sur les probabilites, 1814): one half without any
    outcome, and never certain.
    """
    return (successes + 1) / (successes + failures + 2)


def name_key(name: str) -> str:
    """The form by which a name is looked up: no case, no signs, no articles."""
    return statement_key(name)


def procedure_id(owner: Owner, name: str) -> ProcedureId:
    """Derived: one name of one owner always has the same id."""
    parts = "\x1f".join(("procedure", owner.tenant_id, owner.user_id, name_key(name)))
    return ProcedureId(uuid.uuid5(NAMESPACE, parts))


def check_instruction(name: str, steps: Sequence[str]) -> Instruction:
    """As it may be kept.

    Raises:
        InputError: The field that is empty or too long, and how long it may be.
    """
    name, steps = name.strip(), [step.strip() for step in steps]
    if len(name) > MAX_NAME_CHARS or not name.isprintable() or not any(map(str.isalnum, name)):
        raise InputError("name", f"must be a line of 1 to {MAX_NAME_CHARS} characters with a word")
    if not 0 < len(steps) <= MAX_STEPS:
        raise InputError("steps", f"must be 1 to {MAX_STEPS}; split a longer procedure in two")
    for number, step in enumerate(steps):
        if not step or len(step) > MAX_STEP_CHARS or _UNSTORABLE.search(step):
            reason = f"must be valid text of 1 to {MAX_STEP_CHARS} characters; split a longer step"
            raise InputError(f"steps[{number}]", reason)
    return Instruction(name, tuple(steps))


# ---- what statements say -------------------------------------------------------------------------

_SPEAKER = re.compile(r"^[^\s:][^:\n]{0,60}: (?=\S)")
_NAMING = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"^(?:in order )?to (?P<name>\w[^,:;]{2,120}?)[,:] (?P<steps>.+)$",
        r"^(?:the )?(?:steps|way) to (?P<name>\w[^,:;]{2,120}?)(?::| is to| are) (?P<steps>.+)$",
        r"^how to (?P<name>\w[^,:;]{2,120}?): (?P<steps>.+)$",
        (
            r"^(?:the |our |my )?(?P<name>\w[^,:;]{2,120}?) (?:procedure|process|workflow)"
            r"(?: is)?: (?P<steps>.+)$"
        ),
    )
)
_BETWEEN_STEPS = re.compile(
    r"\s*(?:;|\n|\.\s+|,?\s+(?:and\s+)?(?:then|finally|lastly|after that)\b,?)\s*", re.IGNORECASE
)
_FIRST = re.compile(r"^(?:first(?:ly)?|and)\b,?\s+", re.IGNORECASE)
_DID_NOT = phrase_pattern(r"(?:did|does|do)(?:n't| not) (?:work|help|succeed)|never worked")
_FAILED = phrase_pattern(
    "fail(?:ed|s|ure)?|broke|crash(?:ed|es)?|timed out|went wrong|got stuck|rolled back"
)
_WORKED = phrase_pattern(
    "work(?:ed|s)|succeed(?:ed|s)|success(?:ful|fully)?|went (?:well|fine|smoothly)|passed"
)
_UNSURE = re.compile(
    r"\b(?:if|unless|would|should|could|might|may|will|can|hope|try|until|whether|not|never|nor)\b"
    r"|n't\b",
    re.IGNORECASE,
)


def parse_procedure(statement: str) -> Instruction | None:
    """What it says is to be done, and for what; None where it does not name the aim.

    "To deploy the billing service, run make, then push the tag": the aim is the name. A name needs
    two words of substance: "to start" could be anything.
    """
    plain = " ".join(statement.split())
    # What looks like a speaker may be the aim: "Our billing process: ...".
    texts = (plain, _SPEAKER.sub("", plain))
    found = next((hit for p in _NAMING for text in texts if (hit := p.match(text))), None)
    return None if found is None else _kept(found["name"].strip(), found["steps"])


def _kept(name: str, told: str) -> Instruction | None:
    if len(read(name).content) < MIN_WORDS:
        return None
    parts = (_FIRST.sub("", part).strip(" .") for part in _BETWEEN_STEPS.split(told))
    steps = tuple(filter(None, parts))
    try:
        return check_instruction(name, steps)
    except InputError:
        return None


def tells_result(statement: str) -> bool | None:
    """Whether it says that something worked, or failed; None where it says neither for sure."""
    plain = straight(_SPEAKER.sub("", statement))
    rest = _DID_NOT.sub(" ", plain)
    if _UNSURE.search(rest) or rest.rstrip().endswith("?"):
        return None
    failed = rest != plain or _FAILED.search(rest) is not None
    worked = _WORKED.search(rest) is not None
    return worked if failed != worked else None


def find_meant(statement: str, names: Sequence[str]) -> str | None:
    """The one name all of whose words of substance the statement holds; the longest wins."""
    said = read(_SPEAKER.sub("", statement)).content
    fitting = {name: words for name in names if (words := read(name).content) <= said}
    enough = [name for name, words in fitting.items() if len(words) >= MIN_WORDS]
    longest = max((len(fitting[name]) for name in enough), default=0)
    best = [name for name in enough if len(fitting[name]) == longest]
    return best[0] if len(best) == 1 else None
