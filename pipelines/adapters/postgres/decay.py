"""Decay in SQL: the formula of ``stages.decay`` over rows, in parts of the table.

The table is read in the order of its pages, each part by one query: no snapshot and no lock is
held longer than a part takes, and nothing but what has faded leaves the database. A row that moves
to another page meanwhile may be seen twice or in the next run, and neither does harm.
"""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import (
    ARRAY,
    UUID,
    DateTime,
    Float,
    and_,
    any_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.arrays import is_among
from pipelines.adapters.postgres.commit import waits_anew
from pipelines.adapters.postgres.legal_holds import is_free
from pipelines.adapters.postgres.tables import (
    events,
    facts,
    memories,
    memory_uses,
    outbox,
    proposals,
    reviews,
)
from pipelines.adapters.postgres.touching import SHOWN, Touch, touch
from pipelines.errors import StoreTooSlow
from pipelines.formats import EVENT
from pipelines.model import EVERYONE, SHADOW, Kind, MemoryId, Owner
from pipelines.ports import FadedPage, Survey
from pipelines.stages.decay import BOUNDS, THE_WRITE, Faded
from pipelines.stages.sharing.share import OPEN_STATES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import CTE, ColumnElement, Connection, FromClause, Row, Select
    from sqlalchemy.dialects.postgresql import Insert

    from config.decay import DecayPolicy
    from pipelines.adapters.postgres.database import Database

log = structlog.get_logger(__name__)

EVICTED_EVENT = "memory_evicted"
# What its event says of the reason.
_WHY = ("strength", "idle_seconds", "half_life_seconds", "uses")
# Beyond it the power is nothing; PostgreSQL refuses what is too small for a number.
_LONGEST_HALVES = 1_000.0
# The moment for which a statement is asked: given with every execution, so that a statement can be
# made once.
NOW = bindparam("now", type_=DateTime(timezone=True))
_CTID: ColumnElement[Any] = literal_column("memories.ctid")
_LOCK_FREE = (
    select(memories.c.id)
    .where(memories.c.id == any_(bindparam("keys", type_=ARRAY(UUID))))
    .order_by(memories.c.id)
    .with_for_update(skip_locked=True)
)
# It does not wait for the disk: what a crash takes back has faded still, and nobody was told.
_LOCK_BRIEFLY = text(
    "SELECT set_config('synchronous_commit', 'off', true),"
    " set_config('lock_timeout', CAST(:longest AS text), true),"
    " set_config('statement_timeout', CASE WHEN :is_divisible THEN CAST(:longest AS text)"
    " ELSE current_setting('statement_timeout') END, true)"
)
_PAGES = text(
    "SELECT pg_relation_size('memories') / CAST(current_setting('block_size') AS integer)"
)


class PostgresFading:
    """``FadingStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_faded(
        self, position: int, now: datetime, policy: DecayPolicy, tenant_id: str | None = None
    ) -> FadedPage:
        end = position + policy.pages
        statement = select_faded(policy).where(*_is_between(position, end))
        if tenant_id is not None:
            statement = statement.where(memories.c.tenant_id == tenant_id)
        with self._database.transaction(tenant_id) as connection:
            pages = connection.execute(_PAGES).scalar_one()
            found = tuple(_read(row) for row in connection.execute(statement, {"now": now}))
        return FadedPage(found, end if end < pages else None)

    def find_faded_keys(
        self, position: int, now: datetime, policy: DecayPolicy
    ) -> tuple[list[MemoryId], int | None]:
        end = position + policy.pages
        statement = (
            select_faded(policy).with_only_columns(memories.c.id).where(*_is_between(position, end))
        )
        with self._database.transaction() as connection:
            pages = connection.execute(_PAGES).scalar_one()
            keys = connection.execute(statement, {"now": now}).scalars().all()
        return [MemoryId(key) for key in keys], end if end < pages else None

    def evict(self, keys: Sequence[MemoryId], now: datetime, policy: DecayPolicy) -> int:
        try:
            return self._evict(keys, now, policy)
        except StoreTooSlow:
            if len(keys) == 1:
                # It has faded still when it is looked for the next time.
                log.warning("eviction_left", memory_id=str(keys[0]))
                return 0
            half = len(keys) // 2
            return sum(self.evict(part, now, policy) for part in (keys[:half], keys[half:]))

    def _evict(self, keys: Sequence[MemoryId], now: datetime, policy: DecayPolicy) -> int:
        with self._database.transaction() as connection:
            longest = f"{policy.lock / timedelta(milliseconds=1):.0f}ms"
            connection.execute(_LOCK_BRIEFLY, {"longest": longest, "is_divisible": len(keys) > 1})
            # First, so that the statement sees the uses of whoever was writing them down.
            free = connection.execute(_LOCK_FREE, {"keys": list(keys)}).scalars().all()
            values, options = {"keys": free, "now": now}, {"preserve_rowcount": True}
            found = connection.execute(evict_statement(policy), values, execution_options=options)
            return found.rowcount

    def survey(self, now: datetime, policy: DecayPolicy, tenant_id: str) -> Survey:
        strengths: dict[float, int] = {}
        faded: dict[str, int] = {}
        spared = position = 0
        with self._database.transaction(tenant_id) as connection:
            pages = connection.execute(_PAGES).scalar_one()
        while position < pages:
            statement = _select_survey(policy, tenant_id).where(
                *_is_between(position, position + policy.pages)
            )
            with self._database.transaction(tenant_id) as connection:
                for row in connection.execute(statement, {"now": now}):
                    bound = BOUNDS[row.bucket - 1]
                    strengths[bound] = strengths.get(bound, 0) + row.found
                    if row.has_faded and row.may_go:
                        faded[row.kind] = faded.get(row.kind, 0) + row.found
                    elif row.has_faded:
                        spared += row.found
            position += policy.pages
        return Survey(strengths, faded, spared, self._count_evicted(tenant_id))

    def find_purgeable(self, evicted_before: datetime, limit: int) -> list[MemoryId]:
        with self._database.transaction() as connection:
            found = connection.execute(select_purgeable(evicted_before, limit)).scalars()
            return [MemoryId(key) for key in found]

    def purge_memories(self, keys: Sequence[MemoryId], now: datetime) -> int:
        locked = (
            select(memories.c.id, memories.c.tenant_id, memories.c.user_id)
            .where(
                is_among(memories.c.id, keys), memories.c.evicted_at.is_not(None), _may_be_deleted()
            )
            .order_by(memories.c.id)
            .with_for_update(skip_locked=True)
        )
        with self._database.transaction() as connection:
            rows = connection.execute(locked).mappings().all()
            return _delete_memories(connection, rows, now)

    def _count_evicted(self, tenant_id: str) -> int:
        statement = select(func.count()).where(
            memories.c.tenant_id == tenant_id, memories.c.evicted_at.is_not(None)
        )
        with self._database.transaction(tenant_id) as connection:
            return int(connection.execute(statement).scalar_one())


@lru_cache
def evict_statement(policy: DecayPolicy) -> Insert:
    """Evict those of ``keys`` that have faded, whose rows the transaction has locked.

    With all that belongs to it, without a row leaving the database. It is made once: a run of decay
    executes it thousands of times.
    """
    faded = (
        select_faded(policy)
        .where(memories.c.id == any_(bindparam("keys", type_=ARRAY(UUID))))
        .cte("faded")
    )
    changed = (
        update(memories)
        .where(memories.c.id == faded.c.id)
        .values(evicted_at=NOW, version=memories.c.version + 1)
        .returning(
            *(memories.c[name] for name in ("id", "tenant_id", "user_id", *SHOWN)),
            *(faded.c[name] for name in _WHY),
        )
        .cte("changed")
    )
    logged = insert(events).from_select(
        ["tenant_id", "user_id", "memory_id", "name", "schema_version", "body", "at"],
        select(
            changed.c.tenant_id,
            changed.c.user_id,
            changed.c.id,
            literal(EVICTED_EVENT),
            literal(EVENT.version),
            func.jsonb_build_object(
                literal("memory"),
                func.jsonb_build_object(*_pairs(changed, SHOWN)),
                literal("why"),
                func.jsonb_build_object(*_pairs(changed, _WHY)),
            ),
            NOW,
        ).order_by(changed.c.id),
    )
    waiting = select(changed.c.id, changed.c.tenant_id, changed.c.user_id, NOW, NOW)
    columns = ["memory_id", "tenant_id", "user_id", "enqueued_at", "due_at"]
    statement = upsert(outbox).from_select(columns, waiting.order_by(changed.c.id))
    return statement.on_conflict_do_update(
        index_elements=[outbox.c.memory_id], set_=waits_anew(statement)
    ).add_cte(logged.cte("logged"))


def _pairs(source: CTE, names: Iterable[str]) -> Iterator[Any]:
    for name in names:
        yield literal(name)
        yield source.c[name]


# ---- the formula ---------------------------------------------------------------------------------


def strength_column(policy: DecayPolicy) -> ColumnElement[float]:
    """``stages.decay.strength_of`` of a row of memories beside its uses."""
    halves = func.least(_idle_seconds() / _half_life_seconds(policy), _LONGEST_HALVES)
    left = func.power(cast(literal(2.0), Float), -halves)
    return left * func.ln(cast(1 + _uses(), Float))


def select_faded(policy: DecayPolicy) -> Select[Any]:
    """All that has faded and may go."""
    strength = strength_column(policy)
    return (
        select(
            memories.c.id,
            memories.c.tenant_id,
            memories.c.user_id,
            memories.c.kind,
            memories.c.statement,
            memories.c.importance,
            strength.label("strength"),
            _idle_seconds().label("idle_seconds"),
            _uses().label("uses"),
            _half_life_seconds(policy).label("half_life_seconds"),
        )
        .select_from(_with_uses())
        .where(_is_live(), _may_go(), strength < policy.threshold)
    )


def _select_survey(policy: DecayPolicy, tenant_id: str) -> Select[Any]:
    strength = strength_column(policy)
    each = (
        select(
            memories.c.kind,
            func.width_bucket(strength, literal(list(BOUNDS), ARRAY(Float))).label("bucket"),
            (strength < policy.threshold).label("has_faded"),
            _may_go().label("may_go"),
        )
        .select_from(_with_uses())
        .where(_is_live(), memories.c.tenant_id == tenant_id)
    )
    kind, bucket, has_faded, may_go = each.selected_columns
    return each.add_columns(func.count().label("found")).group_by(kind, bucket, has_faded, may_go)


def _with_uses() -> FromClause:
    return memories.outerjoin(memory_uses, memory_uses.c.memory_id == memories.c.id)


def _uses() -> ColumnElement[int]:
    return THE_WRITE + func.coalesce(memory_uses.c.uses, 0)


def _idle_seconds() -> ColumnElement[float]:
    latest = func.greatest(memories.c.updated_at, memory_uses.c.used_at)
    idle = func.extract("epoch", NOW - latest)
    return func.greatest(cast(idle, Float), 0.0)


def _half_life_seconds(policy: DecayPolicy) -> ColumnElement[float]:
    named = {kind: half.total_seconds() for kind, half in policy.half_lives.items()}
    seconds = case(named, value=memories.c.kind, else_=policy.half_life.total_seconds())
    return cast(seconds, Float) * (policy.least_share + memories.c.importance)


def _is_live() -> ColumnElement[bool]:
    """Somebody's own, in use, and in no generation that is held ready."""
    return and_(
        memories.c.evicted_at.is_(None),
        memories.c.user_id != EVERYONE,
        ~memories.c.tenant_id.contains(SHADOW),
    )


def _may_go() -> ColumnElement[bool]:
    return and_(~memories.c.pinned, is_free(memories))


def _is_between(first: int, end: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    low, high = (f"'({page},0)'::tid" for page in (first, end))
    return (literal_column(low) <= _CTID, literal_column(high) > _CTID)


def _read(row: Row[Any]) -> Faded:
    return Faded(
        memory_id=MemoryId(row.id),
        owner=Owner(row.tenant_id, row.user_id),
        kind=Kind(row.kind),
        statement=row.statement,
        importance=row.importance,
        strength=row.strength,
        idle=timedelta(seconds=row.idle_seconds),
        uses=row.uses,
        half_life=timedelta(seconds=row.half_life_seconds),
    )


# ---- purging -------------------------------------------------------------------------------------


def select_purgeable(evicted_before: datetime, limit: int) -> Select[Any]:
    """Those whose grace is over, the longest evicted first."""
    return (
        select(memories.c.id)
        .where(_may_be_purged(evicted_before))
        .order_by(memories.c.evicted_at, memories.c.id)
        .limit(limit)
    )


def _may_be_purged(evicted_before: datetime) -> ColumnElement[bool]:
    return and_(memories.c.evicted_at < evicted_before, _may_be_deleted())


def _may_be_deleted() -> ColumnElement[bool]:
    """Nobody wants to keep it, and nothing that is kept rests on it."""
    # What it superseded, or took in, would come back to life if it were gone.
    earlier = memories.alias()
    supports = exists().where(
        proposals.c.tenant_id == memories.c.tenant_id,
        proposals.c.state.in_([state.value for state in OPEN_STATES]),
        memories.c.id == any_(proposals.c.memory_ids),
    )
    return and_(
        _may_go(),
        ~exists().where(earlier.c.superseded_by == memories.c.id),
        ~supports,
    )


def _delete_memories(
    connection: Connection, rows: Sequence[Mapping[Any, Any]], now: datetime
) -> int:
    keys = [row["id"] for row in rows]
    touch(connection, keys, Touch("memory_purged", {}), now)
    connection.execute(delete(facts).where(is_among(facts.c.memory_id, keys)))
    connection.execute(delete(reviews).where(is_among(reviews.c.memory_id, keys)))
    connection.execute(delete(memories).where(is_among(memories.c.id, keys)))
    return len(keys)
