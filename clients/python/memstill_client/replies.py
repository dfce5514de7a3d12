"""What the server answers. Fields that a newer server adds are ignored."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

FINAL_STATES = frozenset({"done", "dead"})


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a transcript was taken in; ``str()`` gives the bare id.

    Attributes:
        is_duplicate: Known before, and this is its first receipt. None over the Stream,
            where nobody has looked yet.
        tenant_id: Whose it is; None where the server decided by the API key.
    """

    id: UUID
    is_duplicate: bool | None = None
    tenant_id: str | None = None

    def __str__(self) -> str:
        return str(self.id)


class Reply(BaseModel):
    """Base of all answers."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Accepted(Reply):
    """Answer to one push."""

    receipt: UUID
    duplicate: bool


class ErrorBody(Reply):
    """Why the server said no.

    Attributes:
        checkpoint: Which one to go on with, where it is about one.
    """

    type: str
    field: str | None = None
    reason: str
    checkpoint: UUID | None = None


class ErrorReply(Reply):
    """The body of every answer from 400 on."""

    error: ErrorBody


class BulkLine(Reply):
    """Answer to one line of a bulk push, ``line`` from 1: a receipt or an error."""

    line: int
    receipt: UUID | None = None
    duplicate: bool = False
    error: ErrorBody | None = None


class BulkReply(Reply):
    """Answer to a bulk push."""

    results: tuple[BulkLine, ...]


class FactReport(Reply):
    """One fact of a transcript and what became of it."""

    statement: str
    kind: str
    outcome: str
    reason: str | None = None
    memory_id: UUID | None = None


class Status(Reply):
    """Where a transcript stands on its road.

    Attributes:
        state: ``queued``, ``parked``, ``distilling``, ``distilled``, ``done`` or ``dead``.
        counts: What its facts became, for example ``{"inserted": 3, "reinforced": 1}``.
        redactions: How many secrets of each kind were taken out before anything was stored.
        reason: Why it is a dead letter, or which budget a parked one waits for.
        last_error: What failed last, while it is tried again.
        due_at: When a queued or parked one is taken up next, by itself.
    """

    receipt: UUID
    session_id: str
    state: str
    attempts: int
    counts: dict[str, int] = {}
    redactions: dict[str, int] = {}
    reason: str | None = None
    last_error: str | None = None
    received_at: datetime
    finished_at: datetime | None = None
    due_at: datetime | None = None
    facts: tuple[FactReport, ...] = ()

    @property
    def is_final(self) -> bool:
        """Nothing will change any more: done, or a dead letter."""
        return self.state in FINAL_STATES


class ApiCaller(Reply):
    """Whom the server takes the client for.

    Attributes:
        user_id: The only user that it acts for; None for any of the tenant's.
        scopes: ``write``, ``read``, ``admin``, ``operate``.
    """

    tenant_id: str
    user_id: str | None = None
    scopes: tuple[str, ...]


class States(Reply):
    """How many of the receipts asked for stand in each state."""

    states: dict[str, int]


class Document(Reply):
    """A JSON object as the server sends it."""

    model_config = ConfigDict(frozen=True, extra="allow")

    @property
    def root(self) -> dict[str, Any]:
        """The object."""
        return dict(self.model_extra or {})


class MemoryPage(Reply):
    """Some memories in the order of their ids, as plain JSON; ``next`` is None on the last page."""

    memories: tuple[dict[str, Any], ...]
    next: UUID | None = None


class Promotion(Reply):
    """What many users of the tenant say, proposed for all of them.

    Attributes:
        users: How many said it when it was looked at last.
        state: ``proposed``, ``approved``, ``rejected``, or ``withdrawn`` when too few say it.
        decided_by: Who approved or rejected it.
        memory_id: The memory that it became, if it was ever approved.
    """

    id: UUID
    statement: str
    subject: str
    kind: str
    users: int
    state: str
    proposed_at: datetime
    decided_at: datetime | None = None
    decided_by: str | None = None
    memory_id: UUID | None = None


class PromotionPage(Reply):
    """Some promotions in the order of their ids; ``next`` is None on the last page."""

    promotions: tuple[Promotion, ...]
    next: UUID | None = None


class PromotionScan(Reply):
    """What a scan changed: proposed anew, counted anew, withdrawn."""

    proposed: int
    updated: int
    withdrawn: int


class Amount(Reply):
    """Tokens and money, in the currency of the server's price table; None is no limit."""

    tokens: int | None = None
    money: Decimal | None = None


class CostEntry(Reply):
    """The calls of one user, day (UTC), model and purpose.

    Attributes:
        money: None where the model has no price; else without the calls that had none.
        estimated_calls: Those whose tokens the endpoint did not report.
    """

    day: date
    user_id: str
    purpose: str
    model: str
    calls: int
    unpriced_calls: int
    estimated_calls: int
    prompt_tokens: int
    completion_tokens: int
    money: Decimal | None = None


class BudgetState(Reply):
    """How a budget stands today.

    Attributes:
        budget: ``tenant_day`` or ``user_day``.
        standing: ``within``, ``soft`` (used up, and told) or ``hard`` (nothing more is called).
    """

    budget: str
    user_id: str | None = None
    standing: str
    spent: Amount
    soft: Amount
    hard: Amount


class Cost(Reply):
    """What model calls have cost, and what waits for a budget.

    Attributes:
        entries: Newest day and then dearest first; not all of them if not ``is_whole``.
        total: Of all of them.
        budgets: Of the tenant, and of the user asked for or all who used theirs up.
        parked: How many transcripts of each user wait for a budget.
    """

    today: date
    since: date
    entries: tuple[CostEntry, ...]
    is_whole: bool
    calls: int
    unpriced_calls: int
    total: Amount
    budgets: tuple[BudgetState, ...]
    parked: dict[str, int]


class Batch(Reply):
    """Backfill that the model's provider distills in bulk; only the tenant's requests count.

    Attributes:
        state: ``preparing``, ``running`` or ``ended``.
        outcome: How it ended: ``completed``, ``expired``, ``cancelled``, ``failed`` or
            ``abandoned``; what has no answer then is distilled live.
        provider_id: Its name at the provider.
        deadline_at: What has no answer by then is distilled without it.
    """

    id: UUID
    state: str
    outcome: str | None = None
    provider_id: str | None = None
    created_at: datetime
    deadline_at: datetime
    ended_at: datetime | None = None
    last_error: str | None = None
    requests: int
    answered: int
    failed: int


class BatchPage(Reply):
    """Some batches, the newest first; not ``is_on`` where backfill is distilled live.

    Attributes:
        next: Asks for the following ones; None on the last page.
    """

    is_on: bool
    batches: tuple[Batch, ...]
    next: UUID | None = None


class BatchRun(Reply):
    """What a poll did: batches that ended, and that were handed in."""

    ended: int
    opened: int


class Generation(Reply):
    """Sessions that are distilled again beside the live memories, and how far that is.

    Attributes:
        since: Sessions that ended from then on.
        user_id: The only user it is for; None where it is for all.
        prompt: Version of the prompt; None offline.
        goal: ``shadow``, ``live`` or ``dropped``.
        users: How many users stand at each step on the way there.
        sessions: How many of the sessions stand in each state.
        pending_facts: How many facts of it still wait to be merged.
        is_settled: Everything is as the goal wants it.
    """

    id: UUID
    since: datetime
    user_id: str | None = None
    distiller: str
    model: str | None = None
    prompt: str | None = None
    goal: str
    created_at: datetime
    users: dict[str, int]
    sessions: dict[str, int]
    pending_facts: int
    is_settled: bool


class MemoryLine(Reply):
    """A memory as a comparison shows it."""

    id: UUID
    statement: str
    kind: str
    value: str | None = None
    distilled_by: str


class ChangedSlot(Reply):
    """What has another value."""

    subject: str
    attribute: str
    before: MemoryLine
    after: MemoryLine


class UserDifference(Reply):
    """What one user's current memories gain and lose by a generation.

    Attributes:
        step: Where the user stands.
        kept: How many stay as they are.
    """

    user_id: str
    step: str
    kept: int
    gone: tuple[MemoryLine, ...]
    new: tuple[MemoryLine, ...]
    changed: tuple[ChangedSlot, ...]


class DifferencePage(Reply):
    """A part of all differences; ``next`` asks for the following one."""

    users: tuple[UserDifference, ...]
    next: str | None = None
