"""What the server answers about the index."""

from datetime import datetime
from uuid import UUID

from pydantic import Field

from memstill_client.replies import Reply


class QueueState(Reply):
    """How the queue and the rows that are the work stand.

    Attributes:
        error: Why nothing else is known; None if Redis answered.
        entries: Pushed transcripts that are not stored yet.
        stranded: Those among them that somebody read and nobody gets done.
        due: Rows of each kind of work that nobody has taken.
        woken: Wake-ups of each kind that nobody has taken.
    """

    error: str | None = None
    entries: int = 0
    stranded: int = 0
    due: dict[str, int] = Field(default_factory=dict)
    woken: dict[str, int] = Field(default_factory=dict)


class ReconcilePage(Reply):
    """How a part of the index differs from the rows that it is derived from.

    Attributes:
        found: Differences of each kind.
        examples: Ids of some memories of each kind.
        repaired: How many differences are being mended.
        next: Where the next part begins; None after the last one.
        queue: With the last part.
    """

    compared: int
    found: dict[str, int]
    examples: dict[str, tuple[UUID, ...]]
    repaired: int
    next: UUID | None = None
    queue: QueueState | None = None


class Rebuild(Reply):
    """An index that is built anew.

    Attributes:
        state: ``building``, ``switched`` or ``cancelled``.
        compared: Memories of which it has all that it should have.
        expected: Memories there were when it began.
    """

    token: str
    state: str
    started_at: datetime
    compared: int
    expected: int
