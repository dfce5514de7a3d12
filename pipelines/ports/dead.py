"""Dead letters: what failed for good, kept with its reason until somebody decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.model import Lane, Owner, ReceiptId

    Cursor = tuple[datetime, ReceiptId]


@dataclass(frozen=True, slots=True)
class DeadFilter:
    """Which dead letters are meant: those that fit everything that is named.

    Attributes:
        receipts: Only these.
        reason: Contained in the reason, in whatever case.
        error: Contained in the last error, in whatever case.
        since: Died then or later.
        until: Died then or before.
        is_shadow: Copies of the tenant's open generation instead of the tenant's own; None for
            both.
    """

    receipts: tuple[ReceiptId, ...] | None = None
    reason: str | None = None
    error: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    is_shadow: bool | None = False


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A transcript that failed for good.

    Attributes:
        is_readable: It is a transcript; else nobody could read what was pushed.
        copy_of: The pushed transcript, where a generation distilled it again.
    """

    receipt: ReceiptId
    owner: Owner
    session_id: str
    lane: Lane
    reason: str
    last_error: str | None
    attempts: int
    deaths: int
    received_at: datetime
    died_at: datetime
    is_readable: bool
    copy_of: ReceiptId | None = None

    @property
    def cursor(self) -> Cursor:
        """Its place among all dead letters of a tenant."""
        return (self.died_at, self.receipt)


@dataclass(frozen=True, slots=True)
class StoredReply:
    """What a model answered when the transcript, alone or in company, was distilled.

    Attributes:
        receipts: All transcripts that the request carried.
    """

    purpose: str
    model: str
    text: str
    created_at: datetime
    receipts: tuple[ReceiptId, ...]


class DeadLetters(Protocol):
    """The dead letters of tenants; one of another tenant is never found."""

    def list_dead(
        self,
        tenant_id: str,
        wanted: DeadFilter,
        after: Cursor | None,
        limit: int,
        *,
        oldest_first: bool = False,
    ) -> list[DeadLetter]:
        """Those that fit, behind ``after``, in the order in which they died; newest first."""
        ...

    def load_dead(self, tenant_id: str, receipt: ReceiptId) -> DeadLetter:
        """One of them, a copy too.

        Raises:
            NotFound: It is none of the tenant's dead letters.
        """
        ...

    def load_payload(self, letter: DeadLetter) -> str | None:
        """What was pushed where nobody could read it; None where it is a transcript."""
        ...

    def list_replies(self, letter: DeadLetter) -> list[StoredReply]:
        """What was answered and paid for it, the oldest first."""
        ...

    def requeue(
        self, letters: Sequence[DeadLetter], now: datetime, *, is_fresh: bool, is_dry: bool = False
    ) -> set[ReceiptId]:
        """Let transcripts be distilled again from their first attempt on.

        Whoever shared no call any more still shares none. Left alone is what is not dead any
        more, what has no text, and a copy whose generation has gone on without it.

        Args:
            letters: Of one tenant.
            now: When they are due.
            is_fresh: Forget the stored replies, so that the model is asked again; one that a
                transcript on its road shares is kept.
            is_dry: Change nothing.

        Returns:
            Those that are on their road again, or would be.
        """
        ...

    def drop(self, letters: Sequence[DeadLetter], *, is_dry: bool = False) -> set[ReceiptId]:
        """Delete dead letters and what was answered for them; returns those that are gone.

        Left alone is what is not dead any more, a copy, and what a copy is made of.
        """
        ...

    def correct(self, letter: DeadLetter, reason: str) -> None:
        """It stays dead, for another reason."""
        ...
