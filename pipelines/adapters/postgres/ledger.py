"""The cost ledger: every paid call booked once, and none made that a hard budget forbids.

Two sums make up a day: what is booked (``ledger``) and what is set aside for calls that are on
their way (``holds``). One statement reads both, and a call leaves the one and enters the other
in one transaction, so no call is ever missed between them or counted twice. Whoever sets
something aside holds a lock of the tenant, or of the user where only users have budgets.
"""

from __future__ import annotations

import uuid
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    delete,
    func,
    insert,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import Insert
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.tables import budget_warnings, holds, ledger, ledger_days
from pipelines.errors import BudgetExceeded
from pipelines.model import Owner
from pipelines.ports import CostReport, Entry, Hold, Purpose
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

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import date, datetime

    from config.spending import Budget, BudgetPolicy
    from pipelines.adapters.postgres.database import Database
    from pipelines.ports import ChatReply, Clock, PaidFor
    from pipelines.stages.cost import Charge

log = structlog.get_logger(__name__)

_TOKENS = ledger.c.prompt_tokens + ledger.c.completion_tokens
_ALL_USERS = ""
_PARTS = 16


class PostgresLedger:
    """``Ledger`` on PostgreSQL.

    Args:
        database: Where it is.
        policy: Prices and budgets.
        clock: Says which day it is.
        note_charge: Told of each call when it is booked.
    """

    def __init__(
        self,
        database: Database,
        policy: BudgetPolicy,
        clock: Clock,
        note_charge: Callable[[Charge, Purpose], None] = lambda *_: None,
    ) -> None:
        self._database = database
        self._policy = policy
        self._clock = clock
        self._note_charge = note_charge

    # ---- before a call ------------------------------------------------------------------------

    def reserve(
        self, model: str, prompt_bytes: int, paid_for: PaidFor, *, is_batch: bool = False
    ) -> Hold:
        now, owner = self._clock.now(), paid_for.owner
        estimate = estimate_call(model, prompt_bytes, self._policy, is_batch=is_batch)
        hold = Hold(None, utc_day(now), estimate, is_batch)
        budgets = list(spans_of(self._policy.budgets_of(owner.tenant_id)))
        if not budgets:
            return hold
        if any(budget.hard for _, budget in budgets):
            hold = replace(hold, id=uuid.uuid4())
        with self._database.transaction(owner.tenant_id) as connection:
            if hold.id is not None:
                _lock(connection, owner, [span for span, budget in budgets if budget.hard])
            used_up, refusal = self._check(connection, owner, hold, budgets, now)
            told = [span for span in used_up if _is_first(connection, owner, span, hold.day)]
            if refusal is None and hold.id is not None:
                self._set_aside(connection, owner, hold, now)
        for span in told:
            _tell(owner, span, hold.day)
        if refusal is not None:
            raise refusal
        return hold

    def _check(
        self,
        connection: Connection,
        owner: Owner,
        hold: Hold,
        budgets: Sequence[tuple[Span, Budget]],
        now: datetime,
    ) -> tuple[list[Span], BudgetExceeded | None]:
        """The soft budgets that are used up, and why the call must not be made, if so."""
        used_up: list[Span] = []
        for span, budget in budgets:
            user_id = owner.user_id if span is Span.USER_DAY else None
            spent, held = _sum_day(connection, owner.tenant_id, user_id, hold.day, now)
            if is_used_up(budget.soft, spent):
                used_up.append(span)
            breach = find_breach(budget.hard, spent + held, hold.estimate.spent)
            if breach is not None:
                return used_up, BudgetExceeded(
                    describe_breach(span, hold.day, breach),
                    resume_at=next_look(now, self._policy),
                    is_tenants=span is Span.TENANT_DAY,
                )
        return used_up, None

    def _set_aside(self, connection: Connection, owner: Owner, hold: Hold, now: datetime) -> None:
        of_the_dead = (holds.c.tenant_id == owner.tenant_id, holds.c.expires_at <= now)
        connection.execute(delete(holds).where(*of_the_dead))
        row = {
            "id": hold.id,
            "tenant_id": owner.tenant_id,
            "user_id": owner.user_id,
            "day": hold.day,
            "tokens": hold.estimate.spent.tokens,
            "micros": hold.estimate.spent.micros,
            "expires_at": now + self._policy.hold,
        }
        connection.execute(insert(holds), row)

    # ---- after it -----------------------------------------------------------------------------

    def book_reply(
        self, connection: Connection, hold: Hold, reply: ChatReply, paid_for: PaidFor
    ) -> None:
        """Book the call behind a reply, in the transaction that stores the reply."""
        usage = Usage(reply.prompt_tokens, reply.completion_tokens)
        size = len(reply.text.encode("utf-8", "replace"))
        charge = charge_call(
            hold.estimate, reply.model, usage, size, self._policy, is_batch=hold.is_batch
        )
        self._book(connection, hold.day, charge, paid_for)

    def book_usage(
        self, connection: Connection, hold: Hold, usage: Usage, paid_for: PaidFor
    ) -> None:
        """Book a call whose answer cannot be kept, unless nothing was reported of it."""
        if usage:
            model, is_batch = hold.estimate.model, hold.is_batch
            charge = charge_call(hold.estimate, model, usage, 0, self._policy, is_batch=is_batch)
            self._book(connection, hold.day, charge, paid_for)

    def _book(self, connection: Connection, day: date, charge: Charge, paid_for: PaidFor) -> None:
        _book(connection, day, charge, paid_for)
        self._note_charge(charge, paid_for.purpose)

    def book_lost(self, hold: Hold, usage: Usage, paid_for: PaidFor) -> None:
        if not usage:
            self.release(hold)
            return
        with self._database.transaction(paid_for.owner.tenant_id) as connection:
            self.book_usage(connection, hold, usage, paid_for)
            end_hold(connection, hold)

    def release(self, hold: Hold) -> None:
        if hold.id is not None:
            with self._database.transaction() as connection:
                end_hold(connection, hold)

    # ---- to be seen ---------------------------------------------------------------------------

    def report(self, tenant_id: str, user_id: str | None, since: date, limit: int) -> CostReport:
        chosen = [*_of(ledger, tenant_id, user_id), ledger.c.day >= since]
        entries = (
            select(ledger)
            .where(*chosen)
            .order_by(
                ledger.c.day.desc(),
                ledger.c.micros.desc(),
                _TOKENS.desc(),
                ledger.c.user_id,
                ledger.c.model,
                ledger.c.purpose,
            )
            .limit(limit + 1)
        )
        sums = _sums(ledger.c.calls, ledger.c.unpriced_calls, _TOKENS, ledger.c.micros).where(
            *chosen
        )
        with self._database.transaction(tenant_id) as connection:
            found = [_read_entry(row) for row in connection.execute(entries).mappings()]
            calls, unpriced, tokens, micros = map(int, connection.execute(sums).one())
        total = Spent(tokens, micros)
        return CostReport(tuple(found[:limit]), calls, unpriced, total, len(found) <= limit)

    def spent_on(self, tenant_id: str, user_id: str | None, day: date) -> Spent:
        with self._database.transaction(tenant_id) as connection:
            spent, _ = _sum_day(connection, tenant_id, user_id, day, self._clock.now())
        return spent


def end_hold(connection: Connection, hold: Hold) -> None:
    """What was set aside for a call is free again, or booked in the same transaction."""
    if hold.id is not None:
        connection.execute(delete(holds).where(holds.c.id == hold.id))


def _lock(connection: Connection, owner: Owner, spans: Sequence[Span]) -> None:
    names = owner.names[:1] if Span.TENANT_DAY in spans else owner.names
    key = "\x1f".join(("budget", *names))
    connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))


def _sum_day(
    connection: Connection, tenant_id: str, user_id: str | None, day: date, now: datetime
) -> tuple[Spent, Spent]:
    """What is booked, and what is set aside, as one snapshot sees both."""
    if user_id is None:
        booked = _sums(ledger_days.c.tokens, ledger_days.c.micros).where(
            ledger_days.c.tenant_id == tenant_id, ledger_days.c.day == day
        )
    else:
        booked = _sums(_TOKENS, ledger.c.micros).where(
            *_of(ledger, tenant_id, user_id), ledger.c.day == day
        )
    set_aside = _sums(holds.c.tokens, holds.c.micros).where(
        *_of(holds, tenant_id, user_id), holds.c.day == day, holds.c.expires_at > now
    )
    one, two = booked.subquery(), set_aside.subquery()
    both = select(one, two).select_from(one.join(two, true()))
    row = connection.execute(both).one()
    return Spent(int(row[0]), int(row[1])), Spent(int(row[2]), int(row[3]))


def _sums(*columns: ColumnElement[int]) -> Select[*tuple[Any, ...]]:
    sums: list[ColumnElement[Any]] = [
        func.coalesce(func.sum(column), 0).label(f"sum_{position}")
        for position, column in enumerate(columns)
    ]
    return select(*sums)


def _of(table: Any, tenant_id: str, user_id: str | None) -> list[ColumnElement[bool]]:  # noqa: ANN401
    owned = [table.c.tenant_id == tenant_id]
    return owned if user_id is None else [*owned, table.c.user_id == user_id]


def _book(connection: Connection, day: date, charge: Charge, paid_for: PaidFor) -> None:
    counted = {
        "calls": 1,
        "unpriced_calls": int(charge.micros is None),
        "estimated_calls": int(charge.is_estimated),
        "prompt_tokens": charge.usage.prompt_tokens,
        "completion_tokens": charge.usage.completion_tokens,
        "micros": charge.micros or 0,
    }
    key = {
        "tenant_id": paid_for.owner.tenant_id,
        "user_id": paid_for.owner.user_id,
        "day": day,
        "model": charge.model,
        "purpose": paid_for.purpose.value,
    }
    sums = {
        "part": zlib.crc32(paid_for.owner.user_id.encode()) % _PARTS,
        "sum_tokens": charge.spent.tokens,
        "sum_micros": charge.spent.micros,
    }
    connection.execute(_BOOK, key | counted | sums)


def _add_up(table: Table, key: Sequence[str], counted: Mapping[str, str]) -> Insert:
    """Add to a row, or begin it.

    Args:
        table: Of the row.
        key: Columns that name it; each is a parameter.
        counted: The parameter of each column that is added to.
    """
    values = {name: name for name in key} | dict(counted)
    statement = upsert(table).values(
        {column: bindparam(name, type_=table.c[column].type) for column, name in values.items()}
    )
    return statement.on_conflict_do_update(
        index_elements=list(key),
        set_={name: table.c[name] + statement.excluded[name] for name in counted},
    )


def _make_book() -> Insert:
    """One entry, and the sum of its tenant's day."""
    counted = ("calls", "unpriced_calls", "estimated_calls", "prompt_tokens", "completion_tokens")
    entry = _add_up(
        ledger,
        ("tenant_id", "user_id", "day", "model", "purpose"),
        {name: name for name in (*counted, "micros")},
    )
    sums = {"tokens": "sum_tokens", "micros": "sum_micros"}
    day = _add_up(ledger_days, ("tenant_id", "day", "part"), sums)
    return day.add_cte(entry.returning(ledger.c.day).cte("entry"))


# Made once: each call executes it.
_BOOK = _make_book()


def _is_first(connection: Connection, owner: Owner, span: Span, day: date) -> bool:
    user_id = owner.user_id if span is Span.USER_DAY else _ALL_USERS
    row = {"tenant_id": owner.tenant_id, "user_id": user_id, "day": day}
    statement = upsert(budget_warnings).values(row).on_conflict_do_nothing()
    told = connection.execute(statement.returning(budget_warnings.c.day)).one_or_none()
    return told is not None


def _tell(owner: Owner, span: Span, day: date) -> None:
    user_id = owner.user_id if span is Span.USER_DAY else None
    log.warning(
        "soft_budget_used_up",
        budget=span.value,
        tenant_id=owner.tenant_id,
        user_id=user_id,
        day=str(day),
    )


def _read_entry(row: Any) -> Entry:  # noqa: ANN401 - a mapping of the columns
    return Entry(
        day=row["day"],
        owner=Owner(row["tenant_id"], row["user_id"]),
        model=row["model"],
        purpose=Purpose(row["purpose"]),
        calls=row["calls"],
        unpriced_calls=row["unpriced_calls"],
        estimated_calls=row["estimated_calls"],
        prompt_tokens=row["prompt_tokens"],
        completion_tokens=row["completion_tokens"],
        micros=row["micros"],
    )
