"""The derived index, and the outbox that feeds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime, timedelta

    from pipelines.model import MemoryId, MemoryState, Owner, Scope, Vector

ANYWHERE = -2.0
"""No vector is farther: a cosine may be rounded below -1."""


@dataclass(frozen=True, slots=True)
class IndexPoint:
    """A memory as the index sees it.

    Attributes:
        vector: Of the statement.
        text: What is searched by words: the statement and the passages that it comes from.
        state: Active or superseded; a merged or evicted memory has no point.
        valid_to: When it ceased to hold; None where no end is known.
    """

    memory_id: MemoryId
    owner: Owner
    scope: Scope
    session_id: str
    version: int
    vector: Vector
    text: str
    state: MemoryState
    valid_from: datetime
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class IndexedPoint:
    """What the index says of a point, without what it is found by."""

    memory_id: MemoryId
    owner: Owner
    scope: Scope
    version: int
    state: MemoryState


@dataclass(frozen=True, slots=True)
class Removal:
    """A memory that must not be found any more.

    Attributes:
        version: The one at which that was decided; a newer point stays. None removes whatever
            is there: the memory has no row any more.
    """

    memory_id: MemoryId
    version: int | None


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
    """The derived index over memories, present and past. Calls are safe from many threads."""

    def prepare(self) -> None:
        """Create the collection or check it; one of an earlier layout is dropped and made anew.

        Raises:
            EmbeddingMismatch: It exists for vectors of another size.
        """
        ...

    def apply(self, upserts: Sequence[IndexPoint], removals: Collection[Removal]) -> None:
        """Project memories; what is older than what is stored changes nothing.

        Durable when it returns. Repeating it is harmless. A removal leaves no trace: an upsert
        of any version that comes after it is stored.
        """
        ...

    def remove_owner(self, owner: Owner) -> None:
        """Remove all points of an owner, of whatever version."""
        ...

    def scan(self, after: MemoryId | None, limit: int) -> list[IndexedPoint]:
        """The next points behind ``after`` in the order of their ids, whoever owns them.

        Fewer than ``limit`` say that there are no more.
        """
        ...

    def is_empty(self) -> bool:
        """Whether nobody has a point in it: a new index, to be filled from the truth."""
        ...

    def search(
        self,
        owner: Owner,
        session_id: str | None,
        vector: Vector,
        text: str,
        limit: int,
        *,
        as_of: datetime | None = None,
    ) -> list[Hit]:
        """Up to ``limit`` of the dense and of the lexical leg each, merged, best cosine first.

        Only the owner's memories of user or global scope and, if a session is given, of that
        session. Only active ones; with ``as_of`` those that held then, to the second,
        whatever superseded them since.
        """
        ...

    def neighbours(
        self, owner: Owner, vectors: Sequence[Vector], limit: int, *, min_cosine: float = ANYWHERE
    ) -> list[list[MemoryId]]:
        """For each vector the owner's nearest active memories of any scope, best first.

        Statements alone are compared. Those that are farther than ``min_cosine`` are left out.
        """
        ...

    def count(self, owner: Owner) -> int:
        """Points of this owner, those of superseded memories included."""
        ...

    def close(self) -> None:
        """Release files and connections; the index must not be used afterwards."""
        ...


class RebuildableIndex(VectorIndex, Protocol):
    """An index that can be built anew beside itself, under a token, and replaced in one step."""

    def tend(self) -> int:
        """Make what users with many memories are searched by faster, where it is missing.

        May take minutes, in which all goes on. One process does it at a time, and not more often
        than it is worth. Gives how much was made.
        """
        ...

    def successor(self, token: str) -> VectorIndex:
        """The index that is built beside this one; its contents are nobody's answers yet.

        Owned by this index, which closes it. Calls to it raise ``IndexUnavailable`` if it was
        not made.
        """
        ...

    def make_successor(self, token: str) -> bool:
        """Create it empty, unless it is there; whether it was created."""
        ...

    def is_switched(self, token: str) -> bool:
        """Whether that one is in this one's place already, as far as the engine can tell."""
        ...

    def switch(self, token: str) -> None:
        """Put the successor in this one's place: a search finds all in one or all in the other.

        Every process that shares the index sees it at once.
        """
        ...

    def drop_leftovers(self, keep: str | None) -> int:
        """Delete what neither answers nor is the successor ``keep``; returns how many."""
        ...


@dataclass(frozen=True, slots=True)
class Ticket:
    """A leased row of the outbox.

    Attributes:
        change: The memory's changes so far, counted: more since then must be projected, too.
        attempt: Number of this attempt to project that change, from 1.
    """

    memory_id: MemoryId
    change: int
    fence: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Projection:
    """What the outbox wants the index to look like.

    Attributes:
        upserts: Active and superseded memories, as their rows stand now.
        removals: Memories that must not be found any more.
        tickets: What was leased for it, one for each memory.
    """

    upserts: tuple[IndexPoint, ...] = ()
    removals: tuple[Removal, ...] = ()
    tickets: tuple[Ticket, ...] = ()

    def split(self) -> list[Projection]:
        """One for each memory."""
        points = {point.memory_id: point for point in self.upserts}
        removals = {removal.memory_id: removal for removal in self.removals}
        return [
            Projection((points[ticket.memory_id],), (), (ticket,))
            if ticket.memory_id in points
            else Projection((), (removals[ticket.memory_id],), (ticket,))
            for ticket in self.tickets
        ]


class Outbox(Protocol):
    """Memories whose latest version the index may not have."""

    def take(self, limit: int, now: datetime, lease: timedelta) -> Projection:
        """Lease memories that are due, the attempt counted and committed.

        Concurrent callers get different ones. What was tried before is taken alone, when nothing
        else is due: it may be the cause. An empty projection says that nothing is due.
        """
        ...

    def tick_off(self, projection: Projection) -> None:
        """The index has it: only what has changed since goes on waiting."""
        ...

    def give_back(
        self, projection: Projection, due_at: datetime, error: str, *, is_counted: bool
    ) -> None:
        """The index does not have it: it is due again at ``due_at``.

        The attempt counts only if it says something about the memories themselves.
        """
        ...

    def refill(self, now: datetime) -> int:
        """Let every memory wait again, for an index that has lost them; gives how many do."""
        ...
