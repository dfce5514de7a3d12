"""Answers about global proposals and distilling again."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pipelines.model import Kind
from pipelines.stages.generation import Goal, Step
from pipelines.stages.sharing.share import ProposalState
from workers.schemas.answers import Answer, Counts


class Promotion(Answer):
    """What is proposed for everyone: the words and how many say them, never who."""

    id: UUID
    statement: str
    subject: str
    kind: Kind
    users: int
    state: ProposalState
    proposed_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    memory_id: UUID | None


class Promotions(Answer):
    """A page; ``next`` is the ``after`` of the following one."""

    promotions: list[Promotion]
    next: UUID | None


class Scanned(Answer):
    """How many statements were proposed, said by more or fewer than before, or taken back."""

    proposed: int
    updated: int
    withdrawn: int


class GenerationShown(Answer):
    """A generation, and how far it is."""

    id: UUID
    since: datetime
    user_id: str | None
    distiller: str
    model: str | None
    prompt: str | None
    goal: Goal
    created_at: datetime
    users: Counts
    sessions: Counts
    pending_facts: int
    is_settled: bool


class MemoryCompared(Answer):
    """A memory that one of the two generations has."""

    id: UUID
    statement: str
    kind: Kind
    value: str | None
    distilled_by: str


class ValueCompared(Answer):
    """What an attribute is in each of the two."""

    subject: str
    attribute: str
    before: MemoryCompared
    after: MemoryCompared


class UserCompared(Answer):
    """What one user's memories gain and lose."""

    user_id: str
    step: Step
    kept: int
    gone: list[MemoryCompared]
    new: list[MemoryCompared]
    changed: list[ValueCompared]


class Comparison(Answer):
    """A page of users; ``next`` is the ``after`` of the following one."""

    users: list[UserCompared]
    next: str | None
