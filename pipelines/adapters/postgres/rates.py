"""Rates of tenants: transcripts that come faster are due later, none is refused.

The generic cell rate algorithm (ITU-T I.371, in its virtual scheduling form): a tenant has one
time until which its rate is used up; a transcript that comes is due when that time, less what
may come at once, is reached, and moves it on by one interval.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from sqlalchemy import case, func, update
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.tables import tenant_rates, transcripts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from config.rates import Rate, RatePolicy
    from pipelines.model import ReceiptId, Transcript


def hold_back(
    connection: Connection, fresh: Iterable[Transcript], policy: RatePolicy, now: datetime
) -> None:
    """Give transcripts that were just stored the time at which their tenant's rate admits them."""
    of_tenant: dict[str, list[ReceiptId]] = defaultdict(list)
    for item in fresh:
        if policy.rate_of(item.owner.tenant_id) is not None:
            of_tenant[item.owner.tenant_id].append(item.id)
    # One order for all: two batches that share tenants wait for each other, and never in a ring.
    for tenant_id in sorted(of_tenant):
        rate = policy.rate_of(tenant_id)
        if rate is not None:
            _hold_back(connection, tenant_id, of_tenant[tenant_id], rate, now)


def _hold_back(
    connection: Connection,
    tenant_id: str,
    receipts: Sequence[ReceiptId],
    rate: Rate,
    now: datetime,
) -> None:
    free_at = _use_up(connection, tenant_id, len(receipts), rate, now)
    ahead = rate.interval * rate.burst
    due = {
        receipt: free_at - rate.interval * (len(receipts) - 1 - number) - ahead
        for number, receipt in enumerate(receipts)
    }
    later = {receipt: at for receipt, at in due.items() if at > now}
    if later:
        connection.execute(
            update(transcripts)
            .where(transcripts.c.receipt.in_(later))
            .values(
                due_at=func.greatest(
                    transcripts.c.due_at, case(later, value=transcripts.c.receipt)
                ),
                turn_at=None,
            )
        )


def _use_up(
    connection: Connection, tenant_id: str, count: int, rate: Rate, now: datetime
) -> datetime:
    """Until when the tenant's rate is used up with so many more."""
    more = rate.interval * count
    statement = upsert(tenant_rates).values(tenant_id=tenant_id, free_at=now + more)
    used_up = statement.on_conflict_do_update(
        index_elements=[tenant_rates.c.tenant_id],
        set_={"free_at": func.greatest(tenant_rates.c.free_at, now) + more},
    ).returning(tenant_rates.c.free_at)
    free_at: datetime = connection.execute(used_up).scalar_one()
    return free_at
