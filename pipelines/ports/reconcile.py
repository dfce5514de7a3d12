"""What the index should hold, and an index that is built anew beside the live one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from contextlib import AbstractContextManager
    from datetime import datetime, timedelta

    from pipelines.model import MemoryId, MemoryState, Owner, Scope


# Characters of the token that names what is built beside the live index.
TOKEN_LENGTH = 8


class Difference(StrEnum):
    """How a point and its row can disagree.

    ``missing``: a memory without a point. ``stale``: a point that says what its row said before.
    ``orphaned``: a point without a row, or of a state that has none. ``foreign``: a point under
    another owner. ``ahead``: a point newer than its row, as after a database was put back.
    """

    MISSING = "missing"
    STALE = "stale"
    ORPHANED = "orphaned"
    FOREIGN = "foreign"
    AHEAD = "ahead"


@dataclass(frozen=True, slots=True)
class Expected:
    """A memory as the index should have it.

    Attributes:
        owner: Under whom it is searched.
        is_indexed: Whether it has a point.
    """

    memory_id: MemoryId
    owner: Owner
    scope: Scope
    version: int
    state: MemoryState
    is_indexed: bool


class IndexTruth(Protocol):
    """What the index is derived from."""

    def count(self) -> int:
        """All memories, in whatever state."""
        ...

    def list_expected(self, after: MemoryId | None, limit: int) -> list[Expected]:
        """The next memories behind ``after`` in the order of their ids, in whatever state."""
        ...

    def find_waiting(self, keys: Collection[MemoryId]) -> dict[MemoryId, bool]:
        """Those that wait for being projected, with whether an index has refused them."""
        ...

    def enqueue(self, owners: Mapping[MemoryId, Owner], now: datetime) -> int:
        """Let these be projected anew, each as its row is then; what waits already goes on.

        Args:
            owners: Whose each is, where it has no row.
            now: From when they wait.

        Returns:
            How many wait now that did not before.
        """
        ...


class Standing(StrEnum):
    """Where a rebuild stands."""

    BUILDING = "building"
    SWITCHED = "switched"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Rebuild:
    """An index that is built anew.

    Attributes:
        token: Names it.
        expected: Memories there were when it began.
        after: Up to here it has all that it should have.
        compared: Memories up to there.
        is_complete: It has everything, and can take its place.
    """

    token: str
    started_at: datetime
    expected: int
    standing: Standing = Standing.BUILDING
    after: MemoryId | None = None
    compared: int = 0
    is_complete: bool = False

    @property
    def is_under_way(self) -> bool:
        """Whether it is neither in its place nor given up."""
        return self.standing is Standing.BUILDING


class RebuildTurn(Protocol):
    """The sole right to drive a rebuild, for as long as a block lasts."""

    @property
    def rebuild(self) -> Rebuild:
        """As it was saved last."""
        ...

    def save(self, rebuild: Rebuild) -> None:
        """Keep how far it is; lost if the block ends with an error."""
        ...

    def exclude_writers(self) -> None:
        """Wait for those who write the index, and let nobody begin until the block ends.

        Raises:
            StoreUnavailable: Somebody takes too long.
        """
        ...


class RebuildStore(Protocol):
    """The latest rebuild, and the gate between it and those who write the index."""

    def sharing(self) -> AbstractContextManager[str | None]:
        """Inside, nobody begins or ends a rebuild; gives the token of the one under way.

        Whoever writes the index does so inside, and writes into that one first.
        """
        ...

    def begin(self, rebuild: Rebuild) -> Rebuild:
        """Write it down unless one is under way, which is given instead; writers know at once."""
        ...

    def find(self) -> Rebuild | None:
        """The latest one, which may be over."""
        ...

    def turn(self, *, is_patient: bool = False) -> AbstractContextManager[RebuildTurn | None]:
        """The right to drive it.

        None if none is under way, or if somebody else has the right.

        Args:
            is_patient: Wait for somebody else to end, for a while.
        """
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """A scheduled comparison of everything, in several turns.

    Attributes:
        after: Compared up to here.
        compared: Memories up to there.
        found: Differences of each kind so far.
    """

    started_at: datetime
    finished_at: datetime | None = None
    after: MemoryId | None = None
    compared: int = 0
    found: Mapping[Difference, int] = field(default_factory=dict)


class RoundTurn(Protocol):
    """The sole right to go on with a round, for as long as a block lasts."""

    @property
    def round(self) -> Round:
        """As it was saved last."""
        ...

    def save(self, state: Round) -> None:
        """Keep how far it is; lost if the block ends with an error."""
        ...


class RoundStore(Protocol):
    """The latest round."""

    def turn(self, now: datetime, interval: timedelta) -> AbstractContextManager[RoundTurn | None]:
        """The right to go on with an unfinished round, or with a new one when it is time.

        None if it is not time yet, or somebody else has the right.
        """
        ...
