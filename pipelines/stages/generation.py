"""Generations: what a user's sessions come to when another distiller reads them.

A generation is built beside the live memories, under owners that nobody can name, and takes their
place user by user. What it displaces is kept in the same way, so that the way back is the same
move. Nothing else in the pipeline knows of generations: to it they are owners like others.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, NewType

from pipelines.model import SHADOW, FactId, MemoryState, Owner, ReceiptId, TranscriptState
from pipelines.stages.dedup import statement_key, value_key

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from pipelines.model import Fact, Memory, Slot, Transcript

GenerationId = NewType("GenerationId", uuid.UUID)


class Side(StrEnum):
    """Which memories of a generation are not live: those to come, or those that were."""

    NEXT = "next"
    PREVIOUS = "previous"


class Goal(StrEnum):
    """What is wanted of a generation."""

    SHADOW = "shadow"
    LIVE = "live"
    DROPPED = "dropped"


class Step(StrEnum):
    """How far a user has come.

    In ``shadow`` and ``live`` a user can stay. While ``arriving`` and ``returning``, memories that
    are about to be live are brought into the index under the live owner; until they are, the
    store lets nobody see them.
    """

    LISTED = "listed"
    SHADOW = "shadow"
    ARRIVING = "arriving"
    LIVE = "live"
    RETURNING = "returning"


class Move(StrEnum):
    """What is done to bring a user one step on."""

    COPY = "copy"
    BRING_NEXT = "bring_next"
    TAKE_NEXT_BACK = "take_next_back"
    SWITCH = "switch"
    BRING_PREVIOUS = "bring_previous"
    TAKE_PREVIOUS_BACK = "take_previous_back"
    SWITCH_BACK = "switch_back"
    DROP = "drop"


# For a goal and a step: the move, and the step that it ends in. What is not here is settled.
MOVES: dict[tuple[Goal, Step], tuple[Move, Step]] = {
    (Goal.SHADOW, Step.LISTED): (Move.COPY, Step.SHADOW),
    (Goal.SHADOW, Step.ARRIVING): (Move.TAKE_NEXT_BACK, Step.SHADOW),
    (Goal.SHADOW, Step.LIVE): (Move.BRING_PREVIOUS, Step.RETURNING),
    (Goal.SHADOW, Step.RETURNING): (Move.SWITCH_BACK, Step.SHADOW),
    (Goal.LIVE, Step.LISTED): (Move.COPY, Step.SHADOW),
    (Goal.LIVE, Step.SHADOW): (Move.BRING_NEXT, Step.ARRIVING),
    (Goal.LIVE, Step.ARRIVING): (Move.SWITCH, Step.LIVE),
    (Goal.LIVE, Step.RETURNING): (Move.TAKE_PREVIOUS_BACK, Step.LIVE),
    **{(Goal.DROPPED, step): (Move.DROP, step) for step in Step},
}

# Sessions in these states were distilled, and can be again.
COPIED_STATES = (TranscriptState.DISTILLED.value, TranscriptState.DONE.value)

# The side that is brought into the index under the live owner.
BROUGHT = {Step.ARRIVING: Side.NEXT, Step.RETURNING: Side.PREVIOUS}


def shadow_owner(live: Owner, generation: GenerationId, side: Side) -> Owner:
    """Whose the memories of one side are."""
    return Owner(SHADOW.join((live.tenant_id, str(generation), side)), live.user_id)


def generation_of(owner: Owner) -> tuple[GenerationId, Side] | None:
    """The generation and side that a shadow owner stands for; None for a live one."""
    parts = owner.tenant_id.split(SHADOW)
    if len(parts) == 1:
        return None
    return GenerationId(uuid.UUID(parts[1])), Side(parts[2])


def copied_receipt(generation: GenerationId, receipt: ReceiptId) -> ReceiptId:
    """Derive the receipt under which a generation distills a transcript again."""
    return ReceiptId(uuid.uuid5(generation, f"transcript/{receipt}"))


def copied_fact_id(generation: GenerationId, side: Side, fact: FactId) -> FactId:
    """Derive the id of a fact that a side takes over as it is."""
    return FactId(uuid.uuid5(generation, f"{side}/{fact}"))


def cite_original(facts: Sequence[Fact], transcript: Transcript) -> list[Fact]:
    """Facts found in a copy, resting on the transcript that was pushed."""
    original = transcript.copy_of
    if original is None:
        return list(facts)
    return [
        replace(
            fact,
            transcript_id=original,
            evidence=tuple(replace(item, transcript_id=original) for item in fact.evidence),
        )
        for fact in facts
    ]


@dataclass(frozen=True, slots=True)
class Changed:
    """A slot that has another value in the other generation."""

    slot: Slot
    before: Memory
    after: Memory


@dataclass(frozen=True, slots=True)
class Difference:
    """What one user's current memories would gain and lose.

    Attributes:
        kept: Memories that both have, in the same words or with the same value in their slot.
        changed: Slots with another value; their memories are neither gone nor new.
    """

    kept: int
    gone: tuple[Memory, ...]
    new: tuple[Memory, ...]
    changed: tuple[Changed, ...]


def without_sources(memories: Iterable[Memory], sources: Collection[ReceiptId]) -> list[Memory]:
    """The memories that rest on any other transcript than these."""
    return [
        memory
        for memory in memories
        if not all(item.transcript_id in sources for item in memory.evidence)
    ]


def compare(before: Iterable[Memory], after: Iterable[Memory]) -> Difference:
    """What differs between two sets of memories of one user; only current ones count."""
    old, new = _current(before), _current(after)
    gone = [memory for key, memory in old.items() if key not in new]
    added = [memory for key, memory in new.items() if key not in old]
    kept = len(old) - len(gone)
    in_slots = {memory.slot: memory for memory in added if memory.slot}
    pairs = [
        Changed(memory.slot, memory, in_slots.pop(memory.slot))
        for memory in gone
        if memory.slot and memory.slot in in_slots
    ]
    paired = {side.id for pair in pairs for side in (pair.before, pair.after)}
    changed = tuple(pair for pair in pairs if _differ(pair.before, pair.after))
    return Difference(
        kept + len(pairs) - len(changed),
        tuple(memory for memory in gone if memory.id not in paired),
        tuple(memory for memory in added if memory.id not in paired),
        changed,
    )


def _current(memories: Iterable[Memory]) -> dict[tuple[str, str], Memory]:
    return {
        (memory.subject.casefold(), statement_key(memory.statement)): memory
        for memory in sorted(memories, key=lambda item: item.id)
        if memory.state is MemoryState.ACTIVE
    }


def _differ(before: Memory, after: Memory) -> bool:
    return value_key(before.value or "") != value_key(after.value or "")
