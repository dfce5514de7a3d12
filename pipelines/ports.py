"""What the flows need from the world, as narrow protocols. Contracts stand here, once.

Every method may raise the ``DependencyUnavailable`` of its server; the adapter translates the
driver's errors at this boundary and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from pipelines.model import (
        Draft,
        Fact,
        Memory,
        MemoryId,
        Owner,
        ReceiptId,
        Refusal,
        Scope,
        Slot,
        Transcript,
        TranscriptState,
        Vector,
    )
    from pipelines.plan import Plan


class Clock(Protocol):
    """The time, as an argument of everything that depends on it."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...


# ---- models -----------------------------------------------------------------------------------


class Embedder(Protocol):
    """Turns texts into unit vectors of one frozen model."""

    @property
    def model(self) -> str:
        """Name of the model: part of the collection's name."""
        ...

    @property
    def size(self) -> int:
        """Dimensions of a vector."""
        ...

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        """One float32 unit vector of shape ``(size,)`` per text, in order.

        Raises:
            ModelUnavailable: A remote embedding endpoint did not answer.
        """
        ...


class TokenCounter(Protocol):
    """Counts tokens for budgets; an estimate that does not depend on the network."""

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, in order."""
        ...


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One structured question to a chat model.

    Attributes:
        system: The fixed, cacheable prefix.
        user: What changes.
        schema_name: Name of the JSON schema, as the endpoint wants it.
        schema: JSON schema that the answer must satisfy.
        earlier: Answers to this request that were unusable, each with what was wrong.
    """

    system: str
    user: str
    schema_name: str
    schema: dict[str, object]
    earlier: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ChatReply:
    """What the model answered, unparsed, and what it cost."""

    text: str
    model: str
    prompt_tokens: int = 0
    completion_tokens: int = 0


class ChatModel(Protocol):
    """A chat model behind an endpoint."""

    @property
    def name(self) -> str:
        """The model asked for."""
        ...

    def complete(self, request: ChatRequest) -> ChatReply:
        """Ask once, with bounded retries of passing faults.

        Raises:
            ModelUnavailable: Timeout, connection failure, 429 or 5xx to the last try.
            ModelRefused: The endpoint rejects the request (other 4xx).
            BadReply: The answer is no chat completion, is empty or was cut off.
        """
        ...


class ReplyStore(Protocol):
    """Model replies, kept under the hash of their request before they are parsed."""

    def find_reply(self, request_hash: str) -> ChatReply | None:
        """The stored reply to this very request, if it was ever paid."""
        ...

    def keep_reply(self, request_hash: str, reply: ChatReply, receipt: ReceiptId) -> None:
        """Store a reply; the first one stored for a hash stays."""
        ...


class Distiller(Protocol):
    """Proposes statements worth keeping."""

    @property
    def version(self) -> str:
        """Distiller and prompt version, stored with each fact: ``offline/1``."""
        ...

    def distill(self, transcript: Transcript) -> list[Draft]:
        """Drafts in the order of the messages they rest on; an empty list is a result.

        Raises:
            ModelUnavailable, ModelRefused, BadReply: As ``ChatModel.complete``.
        """
        ...


# ---- stores -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """Answer to one pushed transcript.

    Attributes:
        is_duplicate: It was known; the receipt is the first one's.
    """

    receipt: ReceiptId
    is_duplicate: bool


@dataclass(frozen=True, slots=True)
class FactReport:
    """One fact of a transcript as its status shows it."""

    statement: str
    kind: str
    outcome: str
    reason: str | None
    memory_id: MemoryId | None


@dataclass(frozen=True, slots=True)
class Status:
    """Where a transcript stands; ``reason`` and ``last_error`` say why it is dead or waits."""

    receipt: ReceiptId
    session_id: str
    state: TranscriptState
    attempts: int
    counts: dict[str, int]
    redactions: dict[str, int]
    reason: str | None
    last_error: str | None
    received_at: datetime
    finished_at: datetime | None
    facts: tuple[FactReport, ...]


@dataclass(frozen=True, slots=True)
class TranscriptClaim:
    """A leased transcript; ``fence`` must still be the row's when the result is committed."""

    transcript: Transcript
    fence: int
    attempt: int


@dataclass(frozen=True, slots=True)
class OwnerClaim:
    """A leased user; ``fence`` must still be the row's when the plan is committed.

    ``generation`` counts what became due for the user: more since then means more to do.
    """

    owner: Owner
    fence: int
    attempt: int
    generation: int


class Inbox(Protocol):
    """Accepted transcripts and their road."""

    def accept(self, transcripts: Sequence[Transcript], now: datetime) -> list[Accepted]:
        """Commit transcripts; a known one is answered with its first receipt.

        Two with one receipt in one batch count as a push and its repetition. A key that was
        used for other content is filed as a dead letter under a receipt of its own, which
        is what is answered.
        """
        ...

    def bury(self, owner: Owner, payload: str, reason: str, now: datetime) -> ReceiptId:
        """File something unreadable from the Stream as a dead letter with its reason.

        ``payload`` is kept for replay, cut to 64 KiB, secrets redacted by the caller.
        """
        ...

    def claim_transcript(
        self, receipt: ReceiptId, now: datetime, lease: timedelta
    ) -> TranscriptClaim | None:
        """Lease a due transcript, the attempt counted and committed; None if not to be had."""
        ...

    def commit_distilled(
        self,
        claim: TranscriptClaim,
        facts: Sequence[Fact],
        refusals: Sequence[Refusal],
        now: datetime,
    ) -> None:
        """Store facts and refusals, and mark the owner due; without facts it is done.

        Raises:
            LeaseLost: The fence has moved on.
        """
        ...

    def postpone(self, claim: TranscriptClaim, due_at: datetime, error: str) -> None:
        """Give a transcript back to be tried again at ``due_at``.

        Raises:
            LeaseLost: The fence has moved on.
        """
        ...

    def dead_letter(self, claim: TranscriptClaim, reason: str, error: str, now: datetime) -> None:
        """End a transcript as a dead letter.

        Raises:
            LeaseLost: The fence has moved on.
        """
        ...

    def status(self, tenant_id: str, receipt: ReceiptId) -> Status:
        """Where it stands.

        Raises:
            NotFound: This tenant has no such receipt.
        """
        ...

    def states(self, tenant_id: str, receipts: Collection[ReceiptId]) -> dict[str, int]:
        """How many of these receipts stand in each state; unknown ones as ``unknown``."""
        ...


class MemoryStore(Protocol):
    """The truth: memories, their evidence, events, and what is due for each user."""

    def claim_owner(self, owner: Owner, now: datetime, lease: timedelta) -> OwnerClaim | None:
        """Lease a user who is due; None if nothing is due or another worker holds them."""
        ...

    def release_owner(
        self, claim: OwnerClaim, due_at: datetime | None, now: datetime, error: str | None = None
    ) -> bool:
        """Give a user back, due again at ``due_at`` or only when new facts arrive.

        Returns:
            True if the user is due at once, because facts arrived meanwhile.
        """
        ...

    def pending_facts(self, owner: Owner, limit: int) -> list[Fact]:
        """Facts not yet consolidated, in their total order."""
        ...

    def earliest_undistilled(self, owner: Owner, received_after: datetime) -> datetime | None:
        """Event time of the user's earliest session that still waits to be distilled.

        Only sessions received after ``received_after`` count: older ones are not waited for.
        """
        ...

    def find_candidates(
        self, owner: Owner, statements: Collection[str], slots: Collection[Slot]
    ) -> list[Memory]:
        """Memories that may concern these statements, whatever the index has seen.

        The active ones with an equal statement key, all of the given slots whatever their
        state, and all active ones whose latest version the index does not have yet.
        """
        ...

    def load_memories(self, owner: Owner, ids: Collection[MemoryId]) -> list[Memory]:
        """Those of the ids that are this owner's, in any state; no order."""
        ...

    def commit_plan(self, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
        """Write memories, evidence, events, outbox and settlements in one transaction.

        Transcripts whose last fact is settled become done.

        Raises:
            LeaseLost: The fence has moved on.
            VersionConflict: A memory changed since it was read.
        """
        ...

    def export_memories(
        self, tenant_id: str, user_id: str | None, after: MemoryId | None, limit: int
    ) -> list[Memory]:
        """Memories of a tenant, or of one user, in id order after ``after``, any state."""
        ...


@dataclass(frozen=True, slots=True)
class IndexPoint:
    """A memory as the index sees it."""

    memory_id: MemoryId
    owner: Owner
    scope: Scope
    session_id: str
    version: int
    vector: Vector
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """A candidate with its scores, whichever leg found it.

    Attributes:
        cosine: Similarity to the query, -1 to 1.
        lexical: BM25-like score above 0, comparable only within one search; None where it
            shares no word with the query.
    """

    memory_id: MemoryId
    cosine: float
    lexical: float | None


class VectorIndex(Protocol):
    """The derived index over active memories. Calls are safe from many threads."""

    def prepare(self) -> None:
        """Create the collection or check it.

        Raises:
            EmbeddingMismatch: It exists for vectors of another size.
        """
        ...

    def apply(self, upserts: Sequence[IndexPoint], removals: Collection[MemoryId]) -> None:
        """Project memories; an upsert older than what is stored changes nothing.

        Durable when it returns. Repeating it is harmless.
        """
        ...

    def search(
        self, owner: Owner, session_id: str | None, vector: Vector, text: str, limit: int
    ) -> list[Hit]:
        """Up to ``limit`` of the dense and of the lexical leg each, merged, best cosine first.

        Only the owner's memories of user scope and, if a session is given, of that session.
        """
        ...

    def neighbours(
        self, owner: Owner, vectors: Sequence[Vector], limit: int
    ) -> list[list[MemoryId]]:
        """For each vector the owner's nearest memories of any scope, best first."""
        ...

    def count(self, owner: Owner) -> int:
        """Points of this owner."""
        ...

    def close(self) -> None:
        """Release files and connections; the index must not be used afterwards."""
        ...


@dataclass(frozen=True, slots=True)
class Projection:
    """What the outbox wants the index to look like.

    Attributes:
        upserts: Active memories, as their rows stand now.
        removals: Memories that must not be found any more.
    """

    upserts: tuple[IndexPoint, ...]
    removals: tuple[MemoryId, ...]


class Outbox(Protocol):
    """Memories whose latest version the index may not have."""

    def take(self, limit: int) -> AbstractContextManager[Projection]:
        """A batch of waiting memories, ticked off when the block ends without an error.

        Concurrent callers get different batches; a failed block leaves its batch waiting. An
        empty projection says that nothing waits.
        """
        ...


@dataclass(frozen=True, slots=True)
class DueWork:
    """What lies due and unleased: lost wake-ups, expired leases, passed delays."""

    transcripts: tuple[ReceiptId, ...]
    owners: tuple[Owner, ...]
    has_unprojected: bool


class WorkTable(Protocol):
    """What the sweep looks at."""

    def find_due(self, now: datetime, limit: int) -> DueWork:
        """The longest waiting first."""
        ...


class Waker(Protocol):
    """Sends wake-ups. A lost one costs latency, a doubled one nothing."""

    def wake_distill(self, receipts: Sequence[ReceiptId]) -> None:
        """Some worker shall distill these."""
        ...

    def wake_consolidate(self, owners: Sequence[Owner]) -> None:
        """Some worker shall consolidate these users."""
        ...

    def wake_index(self) -> None:
        """Some worker shall project the outbox."""
        ...
