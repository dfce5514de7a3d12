"""The durable inbox: accepted transcripts and their road."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime, timedelta

    from pipelines.model import (
        Fact,
        Lane,
        MemoryId,
        Owner,
        ReceiptId,
        Refusal,
        Transcript,
        TranscriptState,
    )


@dataclass(frozen=True, slots=True)
class Accepted:
    """Answer to one pushed transcript.

    Attributes:
        is_duplicate: It was known; the receipt is the first one's.
        is_erased: It was not taken in: its subject was erased after it had been pushed.
    """

    receipt: ReceiptId
    is_duplicate: bool
    is_erased: bool = False


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
    """Where a transcript stands; ``reason`` and ``last_error`` say why it is dead or waits.

    Attributes:
        due_at: When a queued or parked one is taken up next; None for the others.
    """

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
    due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class TranscriptClaim:
    """A leased transcript; ``fence`` must still be the row's when the result is committed.

    Attributes:
        attempt: Number of this attempt, from 1.
        is_alone: It failed in company or by itself, or a worker died over it: from now on it
            takes nobody else along.
        deaths: Attempts before this one that ended without a word: their worker died, or was
            frozen until the lease was over.
        was_asked: A reply to a request about it may be stored; false where there is none.
    """

    transcript: Transcript
    fence: int
    attempt: int
    is_alone: bool = False
    deaths: int = 0
    was_asked: bool = True

    @property
    def tries(self) -> int:
        """Attempts that ended, or may end, with an answer; deaths are counted apart."""
        return self.attempt - self.deaths


@dataclass(frozen=True, slots=True)
class Place:
    """A transcript that waits in line, and whose it is."""

    receipt: ReceiptId
    owner: Owner


class Inbox(Protocol):
    """Accepted transcripts and their road."""

    def accept(self, transcripts: Sequence[Transcript], now: datetime) -> list[Accepted]:
        """Commit transcripts; a known one is answered with its first receipt.

        Two with one receipt in one batch count as a push and its repetition. A key that was
        used for other content is filed as a dead letter under a receipt of its own, which
        is what is answered. What was on the Stream when its subject was erased is not stored.
        """
        ...

    def bury(
        self,
        owner: Owner,
        payload: str,
        reason: str,
        now: datetime,
        pushed_at: datetime | None = None,
    ) -> ReceiptId:
        """File something unreadable from the Stream as a dead letter with its reason.

        ``payload`` is kept for replay, secrets redacted by the caller; not if its owner was
        erased after it had been pushed. It counts as received when it was pushed.
        """
        ...

    def find_owner(self, receipt: ReceiptId) -> Owner | None:
        """Whose a transcript is; None if there is none."""
        ...

    def find_in_line(
        self, lane: Lane, after_tenant: str, now: datetime, limit: int, *, with_suspects: bool
    ) -> list[Place]:
        """Whose turn it is: the first of a tenant's line, then those behind, at most ``limit``.

        The tenant is the next one behind ``after_tenant`` that has somebody in line, so that
        whoever goes on from tenant to tenant serves all alike; what is left of the limit goes to
        the tenants behind that one, in their order. In a line users take turns: whoever pushed
        ten thousand sessions holds nobody up.

        Without suspects none is among them over which a worker died; with them, those whose
        lease has run out just now go first.
        """
        ...

    def claim_transcript(
        self, receipt: ReceiptId, now: datetime, lease: timedelta
    ) -> TranscriptClaim | None:
        """Lease a due transcript, the attempt counted and committed; None if not to be had."""
        ...

    def claim_together(
        self,
        receipt: ReceiptId,
        choose: Callable[[Transcript, Sequence[Transcript]], Collection[Transcript]],
        now: datetime,
        lease: timedelta,
        limit: int,
    ) -> list[TranscriptClaim]:
        """Lease a due transcript and with it others of its user that are due, at one blow.

        ``choose`` is shown the transcript and at most ``limit`` short ones of its lane, the
        oldest session first, and says which of those to take; it must be quick and ask nobody,
        for they are locked meanwhile. None that goes alone or that another worker holds is among
        them. At one blow, so that workers who are woken for all of them do not take them one by
        one.

        Returns:
            The transcript asked for comes first. Empty if that one is not to be had.
        """
        ...

    def load_transcripts(self, owner: Owner, receipts: Collection[ReceiptId]) -> list[Transcript]:
        """Those of the transcripts that are this owner's and still have their text; no order."""
        ...

    def extend_lease(self, claim: TranscriptClaim, until: datetime) -> None:
        """Hold a transcript for longer, while its distilling makes progress.

        Raises:
            LeaseLost: The fence has moved on.
        """
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

    def postpone(
        self,
        claim: TranscriptClaim,
        due_at: datetime,
        error: str,
        *,
        is_alone: bool = False,
        is_counted: bool = True,
    ) -> None:
        """Give a transcript back to be tried again at ``due_at``, from now on alone if so told.

        An attempt that says nothing about the transcript is taken back: it is not counted.

        Raises:
            LeaseLost: The fence has moved on.
        """
        ...

    def park(
        self,
        claim: TranscriptClaim,
        due_at: datetime,
        reason: str,
        now: datetime,
        *,
        whole_tenant: bool,
    ) -> None:
        """Set a transcript aside until ``due_at``, because a budget has no room for it.

        The attempt that its claim counted is taken back. Whatever else is due and not smaller
        is parked with it, of the whole tenant or of the user: it has no room either, and
        nobody needs to find that out one by one.

        Raises:
            LeaseLost: The fence has moved on.
        """
        ...

    def count_parked(self, tenant_id: str) -> dict[str, int]:
        """How many transcripts of each user are parked; users without any are left out."""
        ...

    def dead_letter(self, claim: TranscriptClaim, reason: str, error: str, now: datetime) -> None:
        """End a transcript as a dead letter.

        Raises:
            LeaseLost: The fence has moved on.
        """
        ...

    def status(self, tenant_id: str, receipt: ReceiptId, user_id: str | None = None) -> Status:
        """Where it stands.

        Args:
            tenant_id: Whose it must be.
            receipt: Of a push.
            user_id: The user whose it must be; None for any of the tenant's.

        Raises:
            NotFound: They have no such receipt.
        """
        ...

    def states(
        self, tenant_id: str, receipts: Collection[ReceiptId], user_id: str | None = None
    ) -> dict[str, int]:
        """How many of these receipts stand in each state; unknown ones as ``unknown``.

        Where a user is named, another's count as unknown.
        Queued ones that wait for a batch are counted apart, as ``batched``.
        """
        ...
