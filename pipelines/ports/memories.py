"""The truth: memories, and the lease of the user they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime, timedelta

    from pipelines.model import (
        Fact,
        Memory,
        MemoryId,
        Owner,
        Slot,
    )
    from pipelines.plan import Plan


@dataclass(frozen=True, slots=True)
class MemoryEvent:
    """One entry of the append-only log about one memory.

    Attributes:
        name: What happened: ``memory_superseded``.
        body: The memory as it was afterwards, without its vector, and what the change adds.
    """

    seq: int
    at: datetime
    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class OwnerClaim:
    """A leased user; ``fence`` must still be the row's when the plan is committed.

    Attributes:
        attempt: Attempts in a row that failed or died, this one counted.
        generation: Counts what became due for the user: more since then means more to do.
        deaths: Attempts in a row that ended without a word: their worker died, or was frozen.
        has_undistilled: Sessions of the user may wait to be distilled; false where none did.
        has_reviews: Something may wait for a judge; false where nothing did.
    """

    owner: Owner
    fence: int
    attempt: int
    generation: int
    deaths: int = 0
    has_undistilled: bool = True
    has_reviews: bool = True


@dataclass(frozen=True, slots=True)
class Review:
    """A memory that may say the same as another: a judge is asked when it is worth a question.

    Attributes:
        weight: How many pairs of it are open; one that is urgent weighs as much as a question.
        since: When the first of them was met.
    """

    memory_id: MemoryId
    weight: int
    since: datetime


class MemoryStore(Protocol):
    """The truth: memories, their evidence, events, and what is due for each user."""

    def claim_owner(self, owner: Owner, now: datetime, lease: timedelta) -> OwnerClaim | None:
        """Lease a user who is due; None if nothing is due or another worker holds them."""
        ...

    def release_owner(
        self,
        claim: OwnerClaim,
        due_at: datetime | None,
        now: datetime,
        error: str | None = None,
        *,
        deaths: int = 0,
    ) -> bool:
        """Give a user back, due again at ``due_at`` or only when new facts arrive.

        ``deaths`` is what the next claim begins to count from.

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

    def oldest_pending(self, owner: Owner) -> datetime | None:
        """When the first received session was received that has a fact not yet consolidated."""
        ...

    def find_candidates(
        self,
        owner: Owner,
        statements: Collection[str],
        slots: Collection[Slot],
        near: Collection[MemoryId] = (),
    ) -> list[Memory]:
        """Memories that may concern these statements, whatever the index has seen.

        The active ones with an equal statement key, all of the given slots and of those that
        the index found ``near`` whatever their state, and all active ones whose latest version
        the index does not have yet.
        """
        ...

    def load_memories(self, owner: Owner, ids: Collection[MemoryId]) -> list[Memory]:
        """Those of the ids that are this owner's, in any state; no order."""
        ...

    def load_slot(self, owner: Owner, slot: Slot) -> list[Memory]:
        """The memories of one slot in any state; no order."""
        ...

    def load_facts(
        self, owner: Owner, memory_ids: Collection[MemoryId]
    ) -> dict[MemoryId, tuple[Fact, ...]]:
        """The facts that were settled in each of these memories; no order."""
        ...

    def load_reviews(self, owner: Owner) -> list[Review]:
        """The user's memories that wait for a judge; no order."""
        ...

    def extend_owner_lease(self, claim: OwnerClaim, until: datetime) -> None:
        """Hold a user for longer, while a judge is asked.

        Raises:
            LeaseLost: The fence has moved on.
        """
        ...

    def mark_owner_due(self, owner: Owner, now: datetime) -> None:
        """Let the user be leased, although no new fact waits."""
        ...

    def find_memory(self, tenant_id: str, key: MemoryId, user_id: str | None = None) -> Memory:
        """One memory in any state.

        Args:
            tenant_id: Whose it must be.
            key: As recall and export name it.
            user_id: The user whose it must be, unless it is everyone's; None for any of the
                tenant's.

        Raises:
            NotFound: They have no such memory.
        """
        ...

    def read_events(self, tenant_id: str, key: MemoryId) -> list[MemoryEvent]:
        """What happened to a memory, the oldest first."""
        ...

    def commit_plan(self, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
        """Write memories, evidence, events, outbox, settlements and reviews in one transaction.

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
