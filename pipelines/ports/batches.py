"""Batches: many model calls handed in together, answered within a day for less money.

A batch only fills the store of replies. Distilling then goes its usual road, finds the replies
under the hashes of its requests, and pays nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NewType, Protocol
from uuid import UUID

from pipelines.stages.cost import Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from pipelines.model import ReceiptId, Transcript
    from pipelines.ports.ledger import Hold
    from pipelines.ports.models import ChatReply, ChatRequest, PaidFor

BatchId = NewType("BatchId", UUID)

# Why a queued transcript is not distilled yet.
BATCHED = "batched"


class BatchState(StrEnum):
    """Where a batch stands.

    A ``preparing`` one is written down; whether the provider has it is not known yet.
    """

    PREPARING = "preparing"
    RUNNING = "running"
    ENDED = "ended"


class BatchOutcome(StrEnum):
    """How a batch ended: by the provider's word, or ``abandoned`` because there was none."""

    COMPLETED = "completed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    FAILED = "failed"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A question that is ready to be asked.

    Attributes:
        request_hash: Under which its reply is stored.
        prompt_bytes: UTF-8 bytes of all that the model reads.
    """

    request_hash: str
    request: ChatRequest
    paid_for: PaidFor
    prompt_bytes: int


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One request of a batch, without its text."""

    request_hash: str
    paid_for: PaidFor
    hold: Hold


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch that is leased to whoever has this value.

    Attributes:
        deadline_at: What has no answer by then is distilled without it.
        fence: Must still be the row's when anything is written about the batch.
    """

    id: BatchId
    model: str
    created_at: datetime
    deadline_at: datetime
    state: BatchState = BatchState.PREPARING
    file_id: str | None = None
    provider_id: str | None = None
    fence: int = 1


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What came of one request.

    Attributes:
        reply: None if it failed or its answer cannot be used.
        usage: What was paid for an answer that cannot be used.
    """

    request_hash: str
    reply: ChatReply | None
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """What the provider says of a batch.

    Attributes:
        outcome: None while it is still worked on.
        files: Where its answers are, as far as there are any.
    """

    outcome: BatchOutcome | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A batch as one tenant sees it: only its own requests are counted.

    Attributes:
        answered: Requests whose answers are stored.
        failed: Those that ended without one.
    """

    id: BatchId
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


class BatchStore(Protocol):
    """Batches, their requests, and the transcripts that wait for them."""

    def gathering(self) -> AbstractContextManager[bool]:
        """Whether nobody else gathers at this moment, and then nobody does until its end.

        Two who gather the same at once would set the money aside twice.
        """
        ...

    def find_waiting(self, until: datetime, limit: int, max_bytes: int) -> list[Transcript]:
        """Backfill that was in no batch and was not tried yet, due until then, oldest due first.

        At most ``limit`` transcripts with ``max_bytes`` of stored text together, and at least
        one if any waits.
        """
        ...

    def park_waiting(self, receipts: Sequence[ReceiptId], due_at: datetime, reason: str) -> None:
        """Park those of them that still wait, because a budget has no room for them."""
        ...

    def release_waiting(self, receipts: Sequence[ReceiptId], now: datetime) -> None:
        """Make those of them that still wait due at once."""
        ...

    def open_batch(
        self, batch: Batch, items: Sequence[BatchItem], now: datetime, lease: timedelta
    ) -> list[BatchItem]:
        """Write down a batch before anybody else hears of it, leased to the caller.

        The transcripts of its items wait for it until its deadline, and what is set aside for
        them is kept for as long. An item with a transcript that does not wait any more, because
        some worker was faster, is left out.

        Returns:
            The items that are in it; if there is none, nothing was written.
        """
        ...

    def claim_batch(self, now: datetime, lease: timedelta) -> Batch | None:
        """Lease the batch that is due longest; None if none is."""
        ...

    def list_items(self, batch: Batch) -> list[BatchItem]:
        """Its requests that have no outcome yet; no order."""
        ...

    def record_file(self, batch: Batch, file_id: str) -> None:
        """Remember where its requests were uploaded.

        Raises:
            LeaseLost: The fence has moved on.
        """
        ...

    def record_running(self, batch: Batch, provider_id: str, due_at: datetime) -> None:
        """Remember its name at the provider, and give it back until ``due_at``.

        Raises:
            LeaseLost: The fence has moved on.
        """
        ...

    def postpone_batch(self, batch: Batch, due_at: datetime, error: str | None) -> None:
        """Give it back, to be looked at again then.

        Raises:
            LeaseLost: The fence has moved on.
        """
        ...

    def settle(self, batch: Batch, answer: BatchAnswer) -> bool:
        """Store a reply, book its call at the price of batches and end its hold, all or nothing.

        However often an answer is told, it is booked once; also where a live call has stored a
        reply to the same request meanwhile, for it was paid as well.

        Returns:
            False if the batch waits for no such answer (any more).
        """
        ...

    def end_batch(self, batch: Batch, outcome: BatchOutcome, now: datetime) -> list[ReceiptId]:
        """End a batch; what is set aside for requests without an answer is free again.

        Returns:
            The transcripts that waited for it; they are due now.

        Raises:
            LeaseLost: The fence has moved on.
        """
        ...

    def report(self, tenant_id: str, limit: int, after: BatchId | None = None) -> list[BatchReport]:
        """The batches with requests of this tenant, the newest first; those behind ``after``."""
        ...


class BatchEndpoint(Protocol):
    """The Batch API of a model's endpoint. A batch carries our id, and is found by it."""

    @property
    def name(self) -> str:
        """The model asked for."""
        ...

    def find_upload(self, batch_id: BatchId) -> str | None:
        """The file that was uploaded for this batch, if it was.

        Raises:
            ModelUnavailable, ModelRefused, NoBatches: As ``upload``.
        """
        ...

    def upload(self, batch_id: BatchId, requests: Sequence[PreparedRequest]) -> str:
        """Upload the requests, in one try.

        Returns:
            The id of the file.

        Raises:
            ModelUnavailable: No answer, 429 or 5xx; it may have been uploaded all the same.
            NoBatches: The endpoint has nothing like that.
            ModelRefused: Any other 4xx.
        """
        ...

    def find_created(self, batch_id: BatchId, since: datetime) -> list[str]:
        """The provider's names of the batches that were created for ours, not before ``since``.

        Raises:
            ModelUnavailable, ModelRefused, NoBatches: As ``upload``.
        """
        ...

    def create(self, batch_id: BatchId, file_id: str) -> str:
        """Have the uploaded requests answered, in one try.

        Returns:
            The provider's name of the batch.

        Raises:
            ModelUnavailable, ModelRefused, NoBatches: As ``upload``.
        """
        ...

    def look(self, provider_id: str) -> BatchProgress:
        """How far it is; one that the provider does not know has failed.

        Raises:
            ModelUnavailable, ModelRefused: As ``upload``.
        """
        ...

    def read(self, files: Sequence[str]) -> Iterator[BatchAnswer]:
        """The answers in these files, in no order; what cannot be read is left out.

        Raises:
            ModelUnavailable, ModelRefused: As ``upload``.
        """
        ...

    def cancel(self, provider_id: str) -> None:
        """Have no more of it answered, as far as that can be had; never raises.

        One that is over stays as it is; ``look`` says whether it is.
        """
        ...

    def forget(self, files: Sequence[str]) -> None:
        """Have files deleted, as far as the provider does; never raises."""
        ...


class BatchableDistiller(Protocol):
    """A distiller whose questions can be asked beforehand."""

    @property
    def max_company(self) -> int:
        """As ``Distiller``."""
        ...

    def select_company(self, lead: Transcript, waiting: Sequence[Transcript]) -> list[Transcript]:
        """As ``Distiller``."""
        ...

    def list_requests(self, transcripts: Sequence[Transcript]) -> list[PreparedRequest]:
        """What ``Distiller.distill`` will ask for these transcripts, all of one owner."""
        ...
