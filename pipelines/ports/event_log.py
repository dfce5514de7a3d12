"""The event log as a whole: to compare it with the tables, and to write them anew from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from pipelines.model import Memory, MemoryId, Owner
    from pipelines.ports.memories import OwnerClaim
    from pipelines.stages.event_log import Entry, Known


@dataclass(frozen=True, slots=True)
class UserLog:
    """The log of one user and what the tables have, both of one moment.

    Attributes:
        start: What was known before the first of the events.
        entries: In the order of their numbers.
        latest: The number of the last one; 0 where there is none.
    """

    start: Known
    entries: Sequence[Entry]
    stored: Known
    latest: int


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What makes the tables say what the log says.

    Attributes:
        latest: The ``UserLog.latest`` that it was made from.
        written: Memories to write; those that are not ``embedded`` have no vector, and keep the
            one that they have in the tables.
        removed: Memories of which the log knows nothing.
    """

    latest: int
    written: Sequence[Memory]
    embedded: Collection[MemoryId]
    removed: Collection[MemoryId]


@dataclass(frozen=True, slots=True)
class LogSummary:
    """What was known of a user when they had these events.

    Attributes:
        through: No event up to this number is missing.
    """

    known: Known
    through: int


class LogSnapshots(Protocol):
    """What was known of users when so many events had been logged: one snapshot each."""

    def find_settled(self) -> int:
        """A number up to which no event will come to light any more."""
        ...

    def find_long(
        self, after: Owner | None, settled: int, each: int, limit: int
    ) -> tuple[list[Owner], Owner | None]:
        """Those of the next ``limit`` users with ``each`` settled events in no snapshot.

        Returns:
            Them, and behind whom to go on; None after the last one.
        """
        ...

    def read_fence(self, owner: Owner) -> int | None:
        """Moves on when a user is leased, erased, or replaced; None if nobody knows them."""
        ...

    def keep(self, owner: Owner, summary: LogSummary, fence: int, now: datetime) -> bool:
        """Keep it in the place of the one before; False if the fence has moved on."""
        ...


class EventLog(Protocol):
    """Reads the log of one user after another."""

    def list_users(self, tenant_id: str, after: str | None, limit: int) -> list[str]:
        """Users of a tenant in the order of their ids; the empty one is everyone."""
        ...

    def read_log(self, owner: Owner) -> UserLog:
        """The log of a user, and what the tables have.

        Raises:
            NewerFormat: A newer release wrote some of it.
        """
        ...

    def sum_up(self, owner: Owner, settled: int) -> LogSummary:
        """What is known of a user by the events up to a number.

        Raises:
            NewerFormat: A newer release wrote some of it.
        """
        ...

    def rewrite(self, claim: OwnerClaim, what: Rewriting, now: datetime) -> None:
        """Have the tables say what the log says, in one transaction; the index is told.

        Facts that a removed memory rested on wait to be consolidated anew.

        Raises:
            LeaseLost: The fence has moved on.
            VersionConflict: Something was logged meanwhile.
        """
        ...
