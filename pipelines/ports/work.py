"""What makes work go on: the clock, what lies due, and wake-ups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipelines.model import Lane

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.model import (
        Owner,
        ReceiptId,
    )


class Clock(Protocol):
    """The time, as an argument of everything that depends on it."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...


@dataclass(frozen=True, slots=True)
class DueWork:
    """What lies due and unleased: lost wake-ups, expired leases, passed delays.

    Attributes:
        transcripts: Those of the interactive lane.
        backfill: Those of the other one.
        has_unsettled: A user of a generation can be brought one step on.
    """

    transcripts: tuple[ReceiptId, ...]
    owners: tuple[Owner, ...]
    has_unprojected: bool
    backfill: tuple[ReceiptId, ...] = ()
    has_unsettled: bool = False


class WorkTable(Protocol):
    """What the sweep looks at."""

    def line_up(self, now: datetime, limit: int) -> int:
        """Put transcripts whose delay is over into their tenants' lines; gives how many."""
        ...

    def find_due(self, now: datetime, limit: int) -> DueWork:
        """The longest waiting first; at most ``limit`` of each kind and lane."""
        ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """Wake-ups of each kind that no worker has taken yet."""

    distill: int = 0
    consolidate: int = 0
    index: int = 0
    backfill: int = 0
    redistill: int = 0


class Waker(Protocol):
    """Sends wake-ups. A lost one costs latency, a doubled one nothing."""

    def count_waiting(self) -> Waiting:
        """Wake-ups that were sent and that no worker has taken yet."""
        ...

    def wake_distill(self, receipts: Sequence[ReceiptId], lane: Lane = Lane.INTERACTIVE) -> None:
        """Some worker shall distill these; those of the backfill lane when nothing else waits."""
        ...

    def wake_consolidate(self, owners: Sequence[Owner]) -> None:
        """Some worker shall consolidate these users."""
        ...

    def wake_index(self) -> None:
        """Some worker shall project the outbox."""
        ...

    def wake_redistill(self) -> None:
        """Some worker shall bring the users of generations on."""
        ...

    def wake_share(self, after_tenant: str) -> None:
        """Some worker shall go on scanning behind this tenant."""
        ...
