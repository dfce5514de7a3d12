"""What the server answers about dead letters."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self
from uuid import UUID

from memstill_client.replies import Reply


class DeadLetter(Reply):
    """A transcript that failed for good.

    Attributes:
        deaths: Workers that ended over it.
        is_readable: It is a transcript; else nobody could read what was pushed.
        copy_of: The transcript pushed, where a generation distilled it again.
    """

    receipt: UUID
    user_id: str
    session_id: str
    lane: str
    reason: str
    last_error: str | None = None
    attempts: int
    deaths: int
    received_at: datetime
    died_at: datetime
    is_readable: bool
    copy_of: UUID | None = None


class DeadReply(Reply):
    """What a model answered for the transcript; ``receipts`` names all that the call was about."""

    purpose: str
    model: str
    created_at: datetime
    receipts: tuple[UUID, ...]
    text: str


class DeadLetterDetail(DeadLetter):
    """A dead letter with all that is known of it; ``payload`` is what could not be read."""

    payload: str | None = None
    replies: tuple[DeadReply, ...]


class DeadPage(Reply):
    """Some dead letters, the newest first; ``next`` is None on the last page."""

    dead: tuple[DeadLetter, ...]
    next: str | None = None


class DeadPart(Reply):
    """What one request did; ``next`` and ``until`` ask for the rest."""

    done: int
    kept: dict[str, int]
    others: dict[str, int]
    next: str | None = None
    until: datetime


@dataclass(frozen=True, slots=True)
class DeadRun:
    """What became of dead letters.

    Attributes:
        done: So many were replayed, or dropped.
        kept: So many are dead letters still: ``unreadable``, or ``held`` by what rests on them.
        others: So many of the receipts named are no dead letters, by state; unchanged.
    """

    done: int = 0
    kept: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)

    def plus(self, part: DeadPart) -> Self:
        """With a further part."""
        return type(self)(
            self.done + part.done,
            _added(self.kept, part.kept),
            _added(self.others, part.others),
        )


def _added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in sorted({*one, *other})}
