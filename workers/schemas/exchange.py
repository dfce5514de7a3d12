"""Sessions as they are carried from one place to another, and answers about taking them in.

What is exported is imported in the same form: these describe both directions.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AfterValidator, ConfigDict, Field, StrictBool, StringConstraints
from pydantic_core import PydanticCustomError

from memstill_client.json_values import NotPlain, plain_text
from memstill_client.wire import Id, Time
from pipelines.model import Kind, Role
from pipelines.stages.merging.relate import Relation
from workers.schemas.answers import Answer

MAX_SESSIONS = 200
MAX_FACTS = 2_000
MAX_EVIDENCE = 500
MAX_VERDICTS = 5_000
MAX_MARKS = 5_000
LONGEST_STATEMENT = 20_000
LONGEST_QUOTE = 200_000


def _plain(text: str) -> str:
    try:
        return plain_text(text)
    except NotPlain as error:
        raise PydanticCustomError("not_plain", "{reason}", {"reason": str(error)}) from None


Short = Annotated[str, StringConstraints(strict=True, max_length=5_000), AfterValidator(_plain)]
Statement = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=LONGEST_STATEMENT),
    AfterValidator(_plain),
]
Quote = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=LONGEST_QUOTE),
    AfterValidator(_plain),
]
Place = Annotated[int, Field(strict=True, ge=0, lt=2**31)]
Digest = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{64}$")]


class SlotCarried(Answer):
    """What a fact is about; a member where the attribute has many values."""

    subject: Short
    attribute: Annotated[Short, Field(min_length=1)]
    member: Short | None = None


class EvidenceCarried(Answer):
    """A quote of a message."""

    message_id: Id
    message_index: Place
    role: Role
    speaker: Short
    quote: Quote
    said_at: Time
    event_at: Time


class FactCarried(Answer):
    """A fact that was kept; ``memory`` is the memory in which it ended where it comes from."""

    ordinal: Place
    memory: UUID | None = None
    statement: Statement
    subject: Annotated[Short, Field(min_length=1)]
    kind: Kind
    importance: Annotated[float, Field(strict=True, ge=0.0, le=1.0)]
    slot: SlotCarried | None = None
    value: Short | None = None
    ends: StrictBool = False
    event_at: Time
    distilled_by: Short
    evidence: Annotated[list[EvidenceCarried], Field(min_length=1, max_length=MAX_EVIDENCE)]


class SessionCarried(Answer):
    """A session as it is known by what was found in it."""

    tenant_id: Id
    user_id: Id
    session_id: Id
    idempotency_key: Annotated[Short, Field(min_length=1)]
    content_hash: Digest
    started_at: Time
    time_zone: Id = "UTC"
    agent_id: Id | None = None
    facts: Annotated[list[FactCarried], Field(min_length=1, max_length=MAX_FACTS)]


class VerdictCarried(Answer):
    """What a judge or a person said of two statements, by the key of their pair."""

    pair_key: Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{32}$")]
    relation: Relation
    judged_by: Annotated[Short, Field(min_length=1)]


class Sessions(Answer):
    """A page of sessions; ``next`` is the ``after`` of the following one."""

    sessions: list[SessionCarried]
    next: UUID | None


class Verdicts(Answer):
    """A page of verdicts; ``next`` is the ``after`` of the following one."""

    verdicts: list[VerdictCarried]
    next: str | None


class ImportBody(Answer):
    """What ``POST /v1/imports`` takes: sessions of one user, wherever they come from."""

    user_id: Id
    sessions: list[SessionCarried] = Field(default_factory=list, max_length=MAX_SESSIONS)
    verdicts: list[VerdictCarried] = Field(default_factory=list, max_length=MAX_VERDICTS)
    dry_run: StrictBool = False


class MarkCarried(Answer):
    """How long the memory of a fact was told where it comes from."""

    tenant_id: Id
    user_id: Id
    idempotency_key: Annotated[Short, Field(min_length=1)]
    ordinal: Place
    pinned: StrictBool = False
    evicted: StrictBool = False


class SettleBody(Answer):
    """What ``POST /v1/imports:settle`` takes."""

    user_id: Id
    facts: Annotated[list[MarkCarried], Field(max_length=MAX_MARKS)]


class Imported(Answer):
    """What was taken in, or would be."""

    model_config = ConfigDict(extra="forbid")

    sessions: int = Field(description="That were not known here.")
    facts: int = Field(description="That were not known here; they wait to be consolidated.")
    known: int = Field(description="Facts that were known, and stay as they are.")
    open: int = Field(description="Facts of sessions that wait here to be distilled themselves.")
    redacted: int = Field(description="Texts that are stored without what had to be taken out.")


class PlacedFact(Answer):
    """The memory in which a fact ended here."""

    tenant_id: str
    user_id: str
    idempotency_key: str
    ordinal: int
    memory: UUID


class Placed(Answer):
    """What became of facts that were taken in."""

    waiting: int = Field(description="Not consolidated yet; nothing was marked: ask again.")
    pinned: int
    evicted: int
    facts: list[PlacedFact]
