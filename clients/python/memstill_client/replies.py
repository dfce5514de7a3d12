"""What the server answers. Fields that a newer server adds are ignored."""

from dataclasses import dataclass
from datetime import datetime
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
    """Why the server said no."""

    type: str
    field: str | None = None
    reason: str


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
        state: ``queued``, ``distilling``, ``distilled``, ``done`` or ``dead``.
        counts: What its facts became, for example ``{"inserted": 3, "reinforced": 1}``.
        redactions: How many secrets of each kind were taken out before anything was stored.
        reason: Why it is a dead letter.
        last_error: What failed last, while it is tried again.
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
    facts: tuple[FactReport, ...] = ()

    @property
    def is_final(self) -> bool:
        """Nothing will change any more: done, or a dead letter."""
        return self.state in FINAL_STATES


class States(Reply):
    """How many of the receipts asked for stand in each state."""

    states: dict[str, int]


class MemoryPage(Reply):
    """Some memories in the order of their ids, as plain JSON; ``next`` is None on the last page."""

    memories: tuple[dict[str, Any], ...]
    next: UUID | None = None


class RecalledMemory(Reply):
    """One memory, with the message that it rests on.

    Attributes:
        score: Relevance to the query; comparable within one recall only.
        quote: Stands verbatim in the first of ``source_message_ids``.
    """

    id: UUID
    statement: str
    kind: str
    scope: str
    subject: str
    valid_from: datetime
    score: float
    quote: str
    speaker: str
    said_at: datetime
    session_id: str
    source_message_ids: tuple[str, ...]


class Recall(Reply):
    """What is known, best first.

    Attributes:
        block: The same as text for a prompt, fenced; empty when nothing is known.
        tokens: Size of the block as the server counts it.
    """

    block: str
    memories: tuple[RecalledMemory, ...]
    tokens: int

    def appended_to(self, system_prompt: str) -> str:
        """The prompt with the block below it; unchanged when nothing is known."""
        if not self.block:
            return system_prompt
        return f"{system_prompt.rstrip()}\n\n{self.block}" if system_prompt else self.block
