"""What the API answers, as OpenAPI describes it; ``workers.openapi`` says which route says what.

Answers are built as plain values (``workers.views`` and beside the routes) and are not checked
on their way out: that they are as described here is what the fuzzed requests of the tests hold.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from pipelines.model import (
    FactOutcome,
    Kind,
    Lane,
    MemoryState,
    Role,
    Scope,
    TranscriptState,
)
from pipelines.ports import (
    BatchOutcome,
    BatchState,
    Difference,
    ErasureState,
    Purpose,
)
from pipelines.stages.cost import Span, Standing
from pipelines.stages.generation import Goal, Step
from pipelines.stages.sharing.share import ProposalState

Counts = dict[str, int]
# A binary fraction is no amount.
Money = Annotated[str, Field(pattern=r"^-?\d+(\.\d+)?$", examples=["0.0042"])]


class Answer(BaseModel):
    """What an answer holds, and nothing else."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())


# ---- errors --------------------------------------------------------------------------------------


class Problem(Answer):
    """What is wrong, where, and what to send instead."""

    type: str = Field(examples=["invalid_request"])
    field: str | None = Field(examples=["messages[0].role"])
    reason: str = Field(examples=["is required; it must be one of user, assistant, system, tool"])


class Error(Answer):
    """Every answer that is no success."""

    error: Problem


# ---- intake --------------------------------------------------------------------------------------


class Health(Answer):
    """The process answers."""

    status: Literal["live"]


class Dependency(Answer):
    """How a server stands, and how long ago that was looked at."""

    ok: bool
    problem: str | None
    age_seconds: float | None


class Backlog(Answer):
    """What waits."""

    oldest_due_seconds: float
    dead_letters: int
    overdue_erasures: int


class Readiness(Answer):
    """Whether requests can be served, and what is away."""

    status: str
    reason: str | None
    dependencies: dict[str, Dependency]
    backlog: Backlog | None


class Pushed(Answer):
    """A transcript is in the inbox; ``duplicate`` says that it was there before."""

    receipt: UUID
    duplicate: bool


class PushedLine(Answer):
    """What became of one line: a receipt, or what is wrong with it."""

    line: int = Field(ge=1)
    receipt: UUID | None = None
    duplicate: bool | None = None
    error: Problem | None = None


class PushedLines(Answer):
    """One result for each line that is not blank, in order."""

    results: list[PushedLine]


class FactReport(Answer):
    """A statement that was distilled, and what became of it."""

    statement: str
    kind: Kind
    outcome: FactOutcome
    reason: str | None
    memory_id: UUID | None


class Status(Answer):
    """Where a transcript stands."""

    receipt: UUID
    session_id: str
    state: TranscriptState
    attempts: int
    counts: Counts
    redactions: Counts
    reason: str | None
    last_error: str | None
    received_at: datetime
    finished_at: datetime | None
    due_at: datetime | None
    facts: list[FactReport]


class States(Answer):
    """How many receipts stand in each state."""

    states: Counts


# ---- memories ------------------------------------------------------------------------------------


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


class Recalled(Answer):
    """What is known, best first, and as the block for the next prompt."""

    block: str
    tokens: int
    notes: list[str]
    memories: list[Recollection]


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
    source_message_ids: list[str]
    evidence: list[EvidenceShown]


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


# ---- spending ------------------------------------------------------------------------------------


class Spent(Answer):
    """Tokens, and what they cost."""

    tokens: int
    money: Money


class Limit(Answer):
    """The same as a limit; null is none."""

    tokens: int | None
    money: Money | None


class Entry(Answer):
    """What one user cost on one day, for one purpose, with one model."""

    day: date
    user_id: str
    purpose: Purpose
    model: str
    calls: int
    unpriced_calls: int
    estimated_calls: int
    prompt_tokens: int
    completion_tokens: int
    money: Money | None


class BudgetShown(Answer):
    """How a budget stands today."""

    budget: Span
    user_id: str | None
    standing: Standing
    spent: Spent
    soft: Limit
    hard: Limit


class Cost(Answer):
    """What model calls have cost, and what waits for a budget."""

    today: date
    since: date
    entries: list[Entry]
    is_whole: bool
    calls: int
    unpriced_calls: int
    total: Spent
    budgets: list[BudgetShown]
    parked: Counts


class BatchShown(Answer):
    """A batch of model calls."""

    id: UUID
    state: BatchState
    outcome: BatchOutcome | None
    provider_id: str | None
    created_at: datetime
    deadline_at: datetime
    ended_at: datetime | None
    last_error: str | None
    requests: int
    answered: int
    failed: int


class Batches(Answer):
    """The latest batches."""

    is_on: bool
    batches: list[BatchShown]


class Polled(Answer):
    """How many batches ended, and how many were opened."""

    ended: int
    opened: int


# ---- sharing, distilling again -------------------------------------------------------------------


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


# ---- erasing, upkeep, dead letters ---------------------------------------------------------------


class ErasureShown(Answer):
    """The receipt of an erasure: no name is in it, and its digest covers all the rest."""

    id: UUID
    tenant_id: str
    subject: str
    state: ErasureState
    requested_at: datetime
    requested_by: str
    deadline_at: datetime
    purged_at: datetime | None
    verified_at: datetime | None
    removed: Counts
    found: Counts
    last_error: str | None
    digest: str


class Erasures(Answer):
    """The latest erasures."""

    erasures: list[ErasureShown]


class Queue(Answer):
    """Whether every wake-up has its row, and every row its wake-up."""

    error: str | None
    entries: int | None = None
    stranded: int | None = None
    due: Counts | None = None
    woken: Counts | None = None


class Reconciled(Answer):
    """What a turn found; ``next`` asks for the rest."""

    compared: int
    found: dict[Difference, int]
    examples: dict[Difference, list[UUID]]
    repaired: int
    next: UUID | None
    queue: Queue | None


class RebuildShown(Answer):
    """How far a rebuild of the index is."""

    token: str
    state: str = Field(examples=["filling"])
    started_at: datetime
    compared: int
    expected: int


class Letter(Answer):
    """A dead letter as its tenant sees it."""

    receipt: UUID
    user_id: str
    session_id: str
    lane: Lane
    reason: str
    last_error: str | None
    attempts: int
    deaths: int
    received_at: datetime
    died_at: datetime
    is_readable: bool
    copy_of: UUID | None


class Letters(Answer):
    """A page; ``next`` is the ``after`` of the following one."""

    dead: list[Letter]
    next: str | None


class ReplyShown(Answer):
    """What a model said about it."""

    purpose: Purpose
    model: str
    created_at: datetime
    receipts: list[UUID]
    text: str


class Autopsy(Letter):
    """A dead letter with what the model said, and what could not be read."""

    payload: str | None
    replies: list[ReplyShown]


class Handled(Answer):
    """What became of those that were meant; ``next`` and ``until`` ask for the rest."""

    done: int
    kept: Counts
    others: Counts
    next: str | None
    until: datetime | None
