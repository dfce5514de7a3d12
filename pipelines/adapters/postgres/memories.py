"""Memories with their evidence and events, and the lease of the user they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    Connection,
    and_,
    case,
    exists,
    func,
    or_,
    select,
    tuple_,
    update,
)

from pipelines.adapters.postgres.commit import is_owner_row, write_plan
from pipelines.adapters.postgres.due import mark_due
from pipelines.adapters.postgres.rows import (
    read_evidence,
    read_fact,
    read_memory,
)
from pipelines.adapters.postgres.tables import (
    events,
    evidence,
    facts,
    memories,
    outbox,
    owners,
    reviews,
    transcripts,
)
from pipelines.errors import LeaseLost, NotFound
from pipelines.formats import EVENT
from pipelines.model import (
    EVERYONE,
    FactOutcome,
    Memory,
    MemoryId,
    MemoryState,
    Owner,
    TranscriptState,
)
from pipelines.ports import MemoryEvent, OwnerClaim, Review
from pipelines.stages.dedup import statement_key

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection, Iterable, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.sql.functions import Function

    from pipelines.adapters.postgres.database import Database
    from pipelines.model import Evidence, Fact, Slot
    from pipelines.plan import Plan

KEPT = (FactOutcome.INSERTED.value, FactOutcome.REINFORCED.value)
OPEN_STATES = (TranscriptState.QUEUED.value, TranscriptState.DISTILLING.value)


class PostgresMemoryStore:
    """``MemoryStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- the user's lease ---------------------------------------------------------------------

    def claim_owner(self, owner: Owner, now: datetime, lease: timedelta) -> OwnerClaim | None:
        statement = (
            update(owners)
            .where(
                is_owner_row(owner),
                owners.c.due_at <= now,
                or_(owners.c.lease_until.is_(None), owners.c.lease_until <= now),
            )
            .values(
                fence=owners.c.fence + 1,
                attempts=owners.c.attempts + 1,
                # Whoever held it was not heard of again.
                deaths=owners.c.deaths + case((owners.c.lease_until.is_not(None), 1), else_=0),
                lease_until=now + lease,
            )
            .returning(owners.c.fence, owners.c.attempts, owners.c.generation, owners.c.deaths)
        )
        with self._database.transaction(owner.tenant_id) as connection:
            row = connection.execute(statement).one_or_none()
        return None if row is None else OwnerClaim(owner, *row)

    def release_owner(
        self,
        claim: OwnerClaim,
        due_at: datetime | None,
        now: datetime,
        error: str | None = None,
        *,
        deaths: int = 0,
    ) -> bool:
        is_unchanged = owners.c.generation == claim.generation
        statement = (
            update(owners)
            .where(is_owner_row(claim.owner), owners.c.fence == claim.fence)
            .values(
                lease_until=None,
                due_at=_when(is_unchanged, due_at, now),
                attempts=owners.c.attempts if error else 0,
                deaths=deaths,
                last_error=error,
            )
            .returning(is_unchanged)
        )
        with self._database.transaction(claim.owner.tenant_id) as connection:
            unchanged = connection.execute(statement).scalar_one_or_none()
        return unchanged is False

    def load_reviews(self, owner: Owner) -> list[Review]:
        statement = select(reviews.c.memory_id, reviews.c.weight, reviews.c.since).where(
            _is_owned(reviews, owner)
        )
        with self._database.transaction(owner.tenant_id) as connection:
            return [Review(*row) for row in connection.execute(statement)]

    def extend_owner_lease(self, claim: OwnerClaim, until: datetime) -> None:
        statement = (
            update(owners)
            .where(is_owner_row(claim.owner), owners.c.fence == claim.fence)
            .values(lease_until=until)
        )
        with self._database.transaction(claim.owner.tenant_id) as connection:
            if connection.execute(statement).rowcount != 1:
                raise LeaseLost(f"user lease: fence {claim.fence} has moved on")

    def mark_owner_due(self, owner: Owner, now: datetime) -> None:
        with self._database.transaction(owner.tenant_id) as connection:
            mark_due(connection, owner, now)

    # ---- what consolidation reads -------------------------------------------------------------

    def pending_facts(self, owner: Owner, limit: int) -> list[Fact]:
        statement = (
            select(facts)
            .where(_is_owned(facts, owner), facts.c.outcome == FactOutcome.PENDING.value)
            .order_by(facts.c.event_at, facts.c.receipt, facts.c.ordinal)
            .limit(limit)
        )
        with self._database.transaction(owner.tenant_id) as connection:
            return [read_fact(row) for row in connection.execute(statement).mappings()]

    def earliest_undistilled(self, owner: Owner, received_after: datetime) -> datetime | None:
        statement = select(func.min(transcripts.c.ended_at)).where(
            _is_owned(transcripts, owner),
            transcripts.c.state.in_(OPEN_STATES),
            transcripts.c.received_at > received_after,
        )
        with self._database.transaction(owner.tenant_id) as connection:
            found: datetime | None = connection.execute(statement).scalar_one()
        return found

    def oldest_pending(self, owner: Owner) -> datetime | None:
        statement = (
            select(func.min(transcripts.c.received_at))
            .join(facts, facts.c.receipt == transcripts.c.receipt)
            .where(_is_owned(facts, owner), facts.c.outcome == FactOutcome.PENDING.value)
        )
        # The facts of a generation rest on transcripts that are not its own.
        with self._database.transaction() as connection:
            found: datetime | None = connection.execute(statement).scalar_one()
        return found

    def find_candidates(
        self, owner: Owner, statements: Collection[str], slots: Collection[Slot]
    ) -> list[Memory]:
        is_active = memories.c.state == MemoryState.ACTIVE.value
        conditions: list[ColumnElement[bool]] = [
            and_(is_active, func.md5(memories.c.statement_key).in_(_key_hashes(statements))),
            and_(is_active, exists().where(outbox.c.memory_id == memories.c.id)),
        ]
        if slots:
            conditions.append(_is_in_slots(slots))
        return self._load(owner.tenant_id, _is_owned(memories, owner), or_(*conditions))

    def load_memories(self, owner: Owner, ids: Collection[MemoryId]) -> list[Memory]:
        if not ids:
            return []
        return self._load(owner.tenant_id, _is_owned(memories, owner), memories.c.id.in_(ids))

    def load_slot(self, owner: Owner, slot: Slot) -> list[Memory]:
        return self._load(owner.tenant_id, _is_owned(memories, owner), _is_in_slots([slot]))

    def load_facts(
        self, owner: Owner, memory_ids: Collection[MemoryId]
    ) -> dict[MemoryId, tuple[Fact, ...]]:
        if not memory_ids:
            return {}
        statement = select(facts).where(
            _is_owned(facts, owner),
            facts.c.memory_id.in_(memory_ids),
            facts.c.outcome.in_(KEPT),
        )
        found: dict[MemoryId, tuple[Fact, ...]] = {}
        with self._database.transaction(owner.tenant_id) as connection:
            for row in connection.execute(statement).mappings():
                key = MemoryId(row["memory_id"])
                found[key] = (*found.get(key, ()), read_fact(row))
        return found

    def find_memory(self, tenant_id: str, key: MemoryId, user_id: str | None = None) -> Memory:
        conditions = [memories.c.tenant_id == tenant_id, memories.c.id == key]
        if user_id is not None:
            conditions.append(memories.c.user_id.in_([user_id, EVERYONE]))
        found = self._load(tenant_id, *conditions)
        if not found:
            raise NotFound(f"no memory has the id {key}")
        return found[0]

    def read_events(self, tenant_id: str, key: MemoryId) -> list[MemoryEvent]:
        statement = (
            select(events.c.schema_version, events.c.seq, events.c.at, events.c.name, events.c.body)
            .where(events.c.memory_id == key, events.c.tenant_id == tenant_id)
            .order_by(events.c.seq)
        )
        with self._database.transaction(tenant_id) as connection:
            found = connection.execute(statement).all()
        for row in found:
            EVENT.check(row.schema_version)
        return [MemoryEvent(*row[1:]) for row in found]

    def export_memories(
        self, tenant_id: str, user_id: str | None, after: MemoryId | None, limit: int
    ) -> list[Memory]:
        conditions = [memories.c.tenant_id == tenant_id]
        if user_id is not None:
            conditions.append(memories.c.user_id == user_id)
        if after is not None:
            conditions.append(memories.c.id > after)
        return self._load(tenant_id, *conditions, limit=limit)

    def _load(
        self, tenant_id: str, *conditions: ColumnElement[bool], limit: int | None = None
    ) -> list[Memory]:
        statement = select(memories).where(*conditions).order_by(memories.c.id).limit(limit)
        with self._database.transaction(tenant_id) as connection:
            rows = connection.execute(statement).mappings().all()
            cited = load_evidence(connection, [row["id"] for row in rows])
        return [read_memory(row, cited.get(row["id"], [])) for row in rows]

    # ---- the commit ---------------------------------------------------------------------------

    def commit_plan(self, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
        with self._database.transaction(claim.owner.tenant_id) as connection:
            write_plan(connection, claim, plan, now)


def _is_owned(table: Table, owner: Owner) -> ColumnElement[bool]:
    return and_(table.c.tenant_id == owner.tenant_id, table.c.user_id == owner.user_id)


def _is_in_slots(slots: Collection[Slot]) -> ColumnElement[bool]:
    wanted = [(slot.subject, slot.attribute, slot.member or "") for slot in slots]
    return tuple_(
        memories.c.slot_subject,
        memories.c.slot_attribute,
        func.coalesce(memories.c.slot_member, ""),
    ).in_(wanted)


def _when(
    condition: ColumnElement[bool], due_at: datetime | None, otherwise: datetime
) -> ColumnElement[datetime | None]:
    return case((condition, due_at), else_=otherwise)


def _key_hashes(statements: Iterable[str]) -> list[Function[str]]:
    keys = sorted({statement_key(statement) for statement in statements})
    return [func.md5(key) for key in keys]


def load_evidence(
    connection: Connection, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[Evidence]]:
    """The evidence of memories, in the order in which it was said."""
    statement = (
        select(evidence)
        .where(evidence.c.memory_id.in_(ids))
        .order_by(evidence.c.said_at, evidence.c.receipt, evidence.c.message_index)
    )
    found: dict[uuid.UUID, list[Evidence]] = {}
    for row in connection.execute(statement).mappings():
        found.setdefault(row["memory_id"], []).append(read_evidence(row))
    return found
