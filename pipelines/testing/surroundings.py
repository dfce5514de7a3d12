"""What flows find around them: a clock that is told the time, a waker that remembers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pipelines.errors import NotFound
from pipelines.model import Lane
from pipelines.ports import Waiting

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from pipelines.model import Owner, ReceiptId
    from pipelines.ports import Generation


@dataclass(slots=True)
class ManualClock:
    """``Clock`` that stands still until it is told the time."""

    at: datetime = field(default_factory=lambda: datetime(2026, 1, 1, tzinfo=UTC))

    def now(self) -> datetime:
        return self.at

    def advance(self, by: timedelta) -> None:
        """Move on."""
        self.at += by


class NoGenerations:
    """``OpenGenerations`` where none is."""

    def find_generation(self, tenant_id: str) -> Generation:
        raise NotFound(f"{tenant_id} has none")


@dataclass(slots=True)
class RecordingWaker:
    """``Waker`` that remembers whom it woke."""

    receipts: list[ReceiptId] = field(default_factory=list)
    backfill: list[ReceiptId] = field(default_factory=list)
    owners: list[Owner] = field(default_factory=list)
    index_wakes: int = 0
    tenants: list[str] = field(default_factory=list)
    redistill_wakes: int = 0
    waiting: Waiting = field(default_factory=Waiting)

    def count_waiting(self) -> Waiting:
        return self.waiting

    def wake_distill(self, receipts: Sequence[ReceiptId], lane: Lane = Lane.INTERACTIVE) -> None:
        (self.receipts if lane is Lane.INTERACTIVE else self.backfill).extend(receipts)

    def wake_consolidate(self, owners: Sequence[Owner]) -> None:
        self.owners.extend(owners)

    def wake_index(self) -> None:
        self.index_wakes += 1

    def wake_redistill(self) -> None:
        self.redistill_wakes += 1

    def wake_share(self, after_tenant: str) -> None:
        self.tenants.append(after_tenant)
