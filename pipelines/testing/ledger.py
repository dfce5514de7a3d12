"""The cost ledger in memory, behind one lock, under the same contract."""

from __future__ import annotations

import threading
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from config.spending import BudgetPolicy
from pipelines.errors import BudgetExceeded
from pipelines.ports import CostReport, Entry, Hold
from pipelines.stages.cost import (
    Span,
    Spent,
    Usage,
    charge_call,
    describe_breach,
    estimate_call,
    find_breach,
    is_used_up,
    next_look,
    spans_of,
    utc_day,
)
from pipelines.testing.surroundings import ManualClock

if TYPE_CHECKING:
    from datetime import date, datetime

    from pipelines.model import Owner
    from pipelines.ports import ChatReply, Clock, PaidFor, Purpose
    from pipelines.stages.cost import Charge

    _Key = tuple[date, Owner, str, Purpose]


log = structlog.get_logger(__name__)


class InMemoryLedger:
    """``Ledger`` over dictionaries; ``holds`` shows what is set aside and until when."""

    def __init__(self, policy: BudgetPolicy | None = None, clock: Clock | None = None) -> None:
        self._policy = policy or BudgetPolicy()
        self._clock = clock or ManualClock()
        self._lock = threading.RLock()
        self._entries: dict[_Key, Entry] = {}
        self._told: set[tuple[str, str | None, date]] = set()
        self.holds: dict[uuid.UUID, tuple[Owner, Hold, datetime]] = {}

    def reserve(
        self, model: str, prompt_bytes: int, paid_for: PaidFor, *, is_batch: bool = False
    ) -> Hold:
        now, owner = self._clock.now(), paid_for.owner
        estimate = estimate_call(model, prompt_bytes, self._policy, is_batch=is_batch)
        hold = Hold(None, utc_day(now), estimate, is_batch)
        budgets = list(spans_of(self._policy.budgets_of(owner.tenant_id)))
        with self._lock:
            for span, budget in budgets:
                user_id = owner.user_id if span is Span.USER_DAY else None
                spent = self.spent_on(owner.tenant_id, user_id, hold.day)
                if is_used_up(budget.soft, spent):
                    self._tell(span, owner.tenant_id, user_id, hold.day)
                taken = spent + self._held(owner.tenant_id, user_id, hold.day, now)
                breach = find_breach(budget.hard, taken, hold.estimate.spent)
                if breach is not None:
                    raise BudgetExceeded(
                        describe_breach(span, hold.day, breach),
                        resume_at=next_look(now, self._policy),
                        is_tenants=span is Span.TENANT_DAY,
                    )
            if any(budget.hard for _, budget in budgets):
                key = uuid.uuid4()
                hold = replace(hold, id=key)
                self.holds[key] = (owner, hold, now + self._policy.hold)
        return hold

    def book_reply(self, hold: Hold, reply: ChatReply, paid_for: PaidFor) -> None:
        """Book the call behind a reply that was just kept."""
        usage = Usage(reply.prompt_tokens, reply.completion_tokens)
        size = len(reply.text.encode("utf-8", "replace"))
        charge = charge_call(
            hold.estimate, reply.model, usage, size, self._policy, is_batch=hold.is_batch
        )
        self._book(hold.day, charge, paid_for)

    def book_lost(self, hold: Hold, usage: Usage, paid_for: PaidFor) -> None:
        with self._lock:
            if usage:
                charge = charge_call(
                    hold.estimate,
                    hold.estimate.model,
                    usage,
                    0,
                    self._policy,
                    is_batch=hold.is_batch,
                )
                self._book(hold.day, charge, paid_for)
            self.release(hold)

    def extend(self, hold: Hold, until: datetime) -> None:
        """Keep it set aside until then."""
        with self._lock:
            if hold.id in self.holds:
                owner, known, _ = self.holds[hold.id]
                self.holds[hold.id] = (owner, known, until)

    def release(self, hold: Hold) -> None:
        with self._lock:
            if hold.id is not None:
                self.holds.pop(hold.id, None)

    def report(self, tenant_id: str, user_id: str | None, since: date, limit: int) -> CostReport:
        with self._lock:
            found = [
                entry
                for entry in self._entries.values()
                if entry.owner.tenant_id == tenant_id
                and user_id in {None, entry.owner.user_id}
                and entry.day >= since
            ]
        found.sort(key=lambda entry: (entry.owner.user_id, entry.model, entry.purpose))
        found.sort(key=lambda entry: (entry.day, entry.micros, entry.spent.tokens), reverse=True)
        return CostReport(
            entries=tuple(found[:limit]),
            calls=sum(entry.calls for entry in found),
            unpriced_calls=sum(entry.unpriced_calls for entry in found),
            total=sum((entry.spent for entry in found), Spent()),
            is_whole=len(found) <= limit,
        )

    def spent_on(self, tenant_id: str, user_id: str | None, day: date) -> Spent:
        with self._lock:
            entries = [
                entry
                for entry in self._entries.values()
                if entry.owner.tenant_id == tenant_id
                and user_id in {None, entry.owner.user_id}
                and entry.day == day
            ]
        return sum((entry.spent for entry in entries), Spent())

    def _held(self, tenant_id: str, user_id: str | None, day: date, now: datetime) -> Spent:
        held = [
            hold.estimate.spent
            for owner, hold, until in self.holds.values()
            if owner.tenant_id == tenant_id
            and user_id in {None, owner.user_id}
            and hold.day == day
            and until > now
        ]
        return sum(held, Spent())

    def _book(self, day: date, charge: Charge, paid_for: PaidFor) -> None:
        key = (day, paid_for.owner, charge.model, paid_for.purpose)
        with self._lock:
            known = self._entries.get(key) or Entry(*key, 0, 0, 0, 0, 0, 0)
            self._entries[key] = replace(
                known,
                calls=known.calls + 1,
                unpriced_calls=known.unpriced_calls + (charge.micros is None),
                estimated_calls=known.estimated_calls + charge.is_estimated,
                prompt_tokens=known.prompt_tokens + charge.usage.prompt_tokens,
                completion_tokens=known.completion_tokens + charge.usage.completion_tokens,
                micros=known.micros + (charge.micros or 0),
            )

    def _tell(self, span: Span, tenant_id: str, user_id: str | None, day: date) -> None:
        subject = (tenant_id, user_id, day)
        if subject not in self._told:
            self._told.add(subject)
            log.warning(
                "soft_budget_used_up",
                budget=span,
                tenant_id=tenant_id,
                user_id=user_id,
                day=str(day),
            )
