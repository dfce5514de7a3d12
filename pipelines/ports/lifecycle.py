"""How memories are used, fade, and go."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NewType, Protocol
from uuid import UUID

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from config.decay import DecayPolicy
    from pipelines.model import MemoryId, Owner
    from pipelines.stages.decay import Faded

HoldId = NewType("HoldId", UUID)


@dataclass(frozen=True, slots=True)
class CountedUses:
    """Uses that were taken out of the counter, to be written down once.

    Attributes:
        batch: Its name: however often it is handed over, it is counted once.
        uses: How often each memory was used.
        used_at: When each was used last; one that is not named was used about now.
    """

    batch: str
    uses: Mapping[MemoryId, int]
    used_at: Mapping[MemoryId, datetime] = field(default_factory=dict)


class UseCounter(Protocol):
    """Counts uses as they happen, where that is fast; they are written down later."""

    def note(self, memories: Collection[MemoryId], now: datetime) -> None:
        """These were told."""
        ...

    def take(self) -> CountedUses | None:
        """What was counted since; None if nothing was.

        The same again until it is dropped, whoever asks.
        """
        ...

    def drop(self, batch: str) -> None:
        """It is written down."""
        ...


class UseStore(Protocol):
    """The uses of memories, written down."""

    def add_uses(self, counted: CountedUses, now: datetime) -> int:
        """Add them to those of memories that are there; a batch that was added is not again.

        A memory that was evicted before its use was known comes back.

        Returns:
            How many memories came back.
        """
        ...


@dataclass(frozen=True, slots=True)
class FadedPage:
    """What has faded in a part of the table.

    Attributes:
        position: Where the next part begins; None after the last one.
        seen: Rows that were looked at.
    """

    faded: tuple[Faded, ...]
    position: int | None
    seen: int = 0


@dataclass(frozen=True, slots=True)
class Survey:
    """How strong the memories are, without changing anything.

    Attributes:
        strengths: Memories by the lower bound of their strength.
        faded: By kind, how many would be evicted.
        spared: Faded ones that are pinned or held.
        evicted: That are evicted already and can still be restored.
    """

    strengths: Mapping[float, int]
    faded: Mapping[str, int]
    spared: int
    evicted: int


class FadingStore(Protocol):
    """Finds what has faded, and takes it out of the index."""

    def find_faded(
        self, position: int, now: datetime, policy: DecayPolicy, tenant_id: str | None = None
    ) -> FadedPage:
        """What has faded in the next part of the table.

        Neither what is pinned or held, nor what is everyone's, nor what a generation holds
        ready, ever fades.
        """
        ...

    def find_faded_keys(
        self, position: int, now: datetime, policy: DecayPolicy
    ) -> tuple[list[MemoryId], int | None]:
        """The ids of the same, over all tenants, and where the next part begins."""
        ...

    def evict(self, keys: Sequence[MemoryId], now: datetime, policy: DecayPolicy) -> int:
        """Evict those that have faded still; gives how many.

        Whoever changes one of them at this moment is not waited for, and keeps it. What would lock
        them for longer than the policy wants is taken back, and done in smaller parts; a single one
        is left to the next run.
        """
        ...

    def survey(self, now: datetime, policy: DecayPolicy, tenant_id: str) -> Survey:
        """How strong a tenant's memories are."""
        ...

    def find_purgeable(self, evicted_before: datetime, limit: int) -> list[MemoryId]:
        """Memories that were evicted before then, are not held, and nothing kept rests on.

        What is superseded by, or supports, something that is kept stays with it.
        """
        ...

    def purge_memories(self, keys: Sequence[MemoryId], now: datetime) -> int:
        """Delete them with their facts and their evidence; gives how many.

        Their events stay, until retention takes those.
        """
        ...


class PinStore(Protocol):
    """What a person decides about how long a memory is told; repeating it changes nothing."""

    def pin(self, tenant_id: str, key: MemoryId, now: datetime, *, pinned: bool) -> None:
        """Keep a memory from fading, or let it fade; what is pinned is told again."""
        ...

    def bring_back(self, tenant_id: str, key: MemoryId, now: datetime) -> None:
        """Have an evicted memory told again; that counts as a use."""
        ...

    def forget(self, tenant_id: str, key: MemoryId, now: datetime) -> None:
        """Evict a memory because somebody asked for it, pinned or not.

        Unlike one that faded, uses that were counted before do not bring it back.

        Raises:
            InputError: A legal hold is on its user.
        """
        ...


@dataclass(frozen=True, slots=True)
class LegalHold:
    """A user whose data nobody deletes, and why.

    Attributes:
        released_at: None while it holds.
    """

    id: HoldId
    owner: Owner
    reason: str
    placed_at: datetime
    placed_by: str
    released_at: datetime | None = None
    released_by: str | None = None


class HoldStore(Protocol):
    """Legal holds. What a held user has is neither evicted, nor purged, nor erased."""

    def place(self, hold: LegalHold) -> LegalHold:
        """Hold a user's data from now on; a user may be held for several reasons.

        Returns:
            The hold, or the one that is there for the same reason.
        """
        ...

    def release(self, tenant_id: str, key: HoldId, by: str, now: datetime) -> LegalHold:
        """Let go; repeating it changes nothing.

        Raises:
            NotFound: The tenant has no such hold.
        """
        ...

    def list_holds(
        self, tenant_id: str, limit: int, after: HoldId | None = None
    ) -> list[LegalHold]:
        """The newest first; those behind one of them if it is named."""
        ...
