"""Answers about memories and their history."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from pipelines.model import Kind, MemoryState, Role, Scope
from workers.schemas.answers import Answer


class Recollection(Answer):
    """One recalled memory, with the message that said it."""

    id: UUID
    statement: str
    kind: Kind
    scope: Scope
    subject: str
    valid_from: datetime
    score: float
    quote: str
    speaker: str
    message_id: str
    said_at: datetime
    session_id: str
    users: int
    source_message_ids: list[str]


class ProcedureRecalled(Answer):
    """How something is done."""

    id: UUID
    name: str
    steps: list[str]
    version: int
    success_rate: float


class EpisodeRecalled(Answer):
    """What happened lately."""

    session_id: str
    content: str
    created_at: datetime


class WorkingRecalled(Answer):
    """What is held in mind in the session."""

    summary: str | None
    items: list[str]


class Recalled(Answer):
    """What is known, best first, and as the block for the next prompt."""

    block: str
    tokens: int
    notes: list[str]
    memories: list[Recollection]
    procedures: list[ProcedureRecalled]
    episodes: list[EpisodeRecalled]
    working: WorkingRecalled


class EvidenceShown(Answer):
    """A message that says it."""

    receipt: UUID
    session_id: str
    message_id: str
    role: Role
    speaker: str
    quote: str
    said_at: datetime


class MemoryShown(Answer):
    """A memory with its validity and all that it rests on."""

    id: UUID
    tenant_id: str
    user_id: str
    statement: str
    subject: str
    kind: Kind
    scope: Scope
    state: MemoryState
    attribute: str | None
    value: str | None
    ends: bool
    importance: float
    session_id: str
    valid_from: datetime
    valid_to: datetime | None
    confirmed_at: datetime
    superseded_by: UUID | None
    version: int
    distilled_by: str
    users: int
    pinned: bool
    evicted_at: datetime | None
    source_message_ids: list[str]
    evidence: list[EvidenceShown]


class MemoryForgotten(Answer):
    """A memory is told no more; null where something brought it back at once."""

    id: UUID
    version: int
    forgotten_at: datetime | None
    restorable_until: datetime | None


class Memories(Answer):
    """A page; ``next`` is the ``after`` of the following one."""

    memories: list[MemoryShown]
    next: UUID | None


class EventShown(Answer):
    """Something that happened to a memory."""

    at: datetime
    name: str
    state: MemoryState
    scope: Scope
    version: int
    reason: str | None


class History(Answer):
    """A memory with what held before and after it, and what happened to it."""

    memory: MemoryShown
    timeline: list[MemoryShown]
    events: list[EventShown]
