"""The cost ledger: what model calls came to, and what they still may."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pipelines.stages.cost import Spent

if TYPE_CHECKING:
    from datetime import date
    from uuid import UUID

    from pipelines.model import Owner
    from pipelines.ports.models import PaidFor, Purpose
    from pipelines.stages.cost import Charge, Usage


@dataclass(frozen=True, slots=True)
class Hold:
    """What is set aside for one call until it is booked.

    Attributes:
        id: None where no hard budget limits the call: then nothing was written.
        day: The UTC day on whose account the call goes, however late its answer comes.
        estimate: The call under the name that was asked for; what it really came to is booked.
        is_batch: It costs a share of the price only.
    """

    id: UUID | None
    day: date
    estimate: Charge
    is_batch: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """The calls of one user, day, model and purpose.

    Attributes:
        unpriced_calls: Those whose model had no price: their tokens are in, their money is not.
        estimated_calls: Those whose tokens the endpoint did not report.
        micros: Micro-units of the currency of the price table.
    """

    day: date
    owner: Owner
    model: str
    purpose: Purpose
    calls: int
    unpriced_calls: int
    estimated_calls: int
    prompt_tokens: int
    completion_tokens: int
    micros: int

    @property
    def spent(self) -> Spent:
        """What it adds to a day."""
        return Spent(self.prompt_tokens + self.completion_tokens, self.micros)


@dataclass(frozen=True, slots=True)
class CostReport:
    """Entries, newest day and then dearest first, and the sums over all that match.

    Attributes:
        is_whole: False if there are more entries than were asked for.
    """

    entries: tuple[Entry, ...]
    calls: int
    unpriced_calls: int
    total: Spent
    is_whole: bool


class Ledger(Protocol):
    """Books each call once, and lets none be made that a hard budget has no room for."""

    def reserve(
        self, model: str, prompt_bytes: int, paid_for: PaidFor, *, is_batch: bool = False
    ) -> Hold:
        """Set aside what a call may come to; without a hard budget there is nothing to write.

        However many threads and processes ask at once, what is booked and set aside for a day
        stays within its hard budgets. What a dead worker had set aside is free again after a
        while. The first call of a day after a soft budget was used up is logged, once.

        Raises:
            BudgetExceeded: There is no room; nothing was set aside.
        """
        ...

    def book_lost(self, hold: Hold, usage: Usage, paid_for: PaidFor) -> None:
        """Book a call whose answer cannot be kept, and end its hold.

        Without any tokens nothing was reported, and nothing is booked.
        """
        ...

    def release(self, hold: Hold) -> None:
        """End the hold of a call that came to nothing."""
        ...

    def report(self, tenant_id: str, user_id: str | None, since: date, limit: int) -> CostReport:
        """What a tenant, or one user, has paid since a day, that day included."""
        ...

    def spent_on(self, tenant_id: str, user_id: str | None, day: date) -> Spent:
        """What a tenant, or one user, was charged on a day; nothing that is only set aside."""
        ...
