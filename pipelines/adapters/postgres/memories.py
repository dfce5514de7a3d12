"""Memories with their evidence and events, and the lease of the user they belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.events import event_rows
from pipelines.adapters.postgres.rows import (
    evidence_row,
    memory_row,
    quote_key,
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
    transcripts,
)
from pipelines.errors import LeaseLost, VersionConflict
from pipelines.model import FactOutcome, Memory, MemoryId, MemoryState, Owner, TranscriptState
from pipelines.plan import Insert, Refile, Reinforce
from pipelines.ports import OwnerClaim
from pipelines.stages.dedup import statement_key

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement, Table
    from sqlalchemy.sql.functions import Function

    from pipelines.adapters.postgres.database import Database
    from pipelines.model import Evidence, Fact, FactId, Slot
    from pipelines.plan import Plan, Settlement

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
                _is_owner_row(owner),
                owners.c.due_at <= now,
                or_(owners.c.lease_until.is_(None), owners.c.lease_until <= now),
            )
            .values(
                fence=owners.c.fence + 1,
                attempts=owners.c.attempts + 1,
                lease_until=now + lease,
            )
            .returning(owners.c.fence, owners.c.attempts, owners.c.generation)
        )
        with self._database.transaction() as connection:
            row = connection.execute(statement).one_or_none()
        return OwnerClaim(owner, row.fence, row.attempts, row.generation) if row else None

    def release_owner(
        self, claim: OwnerClaim, due_at: datetime | None, now: datetime, error: str | None = None
    ) -> bool:
        is_unchanged = owners.c.generation == claim.generation
        statement = (
            update(owners)
            .where(_is_owner_row(claim.owner), owners.c.fence == claim.fence)
            .values(
                lease_until=None,
                due_at=_when(is_unchanged, due_at, now),
                attempts=owners.c.attempts if error else 0,
                last_error=error,
            )
            .returning(is_unchanged)
        )
        with self._database.transaction() as connection:
            unchanged = connection.execute(statement).scalar_one_or_none()
        return unchanged is False

    # ---- what consolidation reads -------------------------------------------------------------

    def pending_facts(self, owner: Owner, limit: int) -> list[Fact]:
        statement = (
            select(facts)
            .where(_is_owned(facts, owner), facts.c.outcome == FactOutcome.PENDING.value)
            .order_by(facts.c.event_at, facts.c.receipt, facts.c.ordinal)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            return [read_fact(row) for row in connection.execute(statement).mappings()]

    def earliest_undistilled(self, owner: Owner, received_after: datetime) -> datetime | None:
        statement = select(func.min(transcripts.c.ended_at)).where(
            _is_owned(transcripts, owner),
            transcripts.c.state.in_(OPEN_STATES),
            transcripts.c.received_at > received_after,
        )
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
            pairs = [(slot.subject, slot.attribute) for slot in slots]
            conditions.append(tuple_(memories.c.slot_subject, memories.c.slot_attribute).in_(pairs))
        return self._load(_is_owned(memories, owner), or_(*conditions))

    def load_memories(self, owner: Owner, ids: Collection[MemoryId]) -> list[Memory]:
        if not ids:
            return []
        return self._load(_is_owned(memories, owner), memories.c.id.in_(ids))

    def export_memories(
        self, tenant_id: str, user_id: str | None, after: MemoryId | None, limit: int
    ) -> list[Memory]:
        conditions = [memories.c.tenant_id == tenant_id]
        if user_id is not None:
            conditions.append(memories.c.user_id == user_id)
        if after is not None:
            conditions.append(memories.c.id > after)
        return self._load(*conditions, limit=limit)

    def _load(self, *conditions: ColumnElement[bool], limit: int | None = None) -> list[Memory]:
        statement = select(memories).where(*conditions).order_by(memories.c.id).limit(limit)
        with self._database.transaction() as connection:
            rows = connection.execute(statement).mappings().all()
            cited = _load_evidence(connection, [row["id"] for row in rows])
        return [read_memory(row, cited.get(row["id"], [])) for row in rows]

    # ---- the commit ---------------------------------------------------------------------------

    def commit_plan(self, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
        with self._database.transaction() as connection:
            _check_fence(connection, claim)
            _write_memories(connection, plan, now)
            _write_evidence(connection, plan)
            _write_events(connection, plan, now)
            _fill_outbox(connection, plan, now)
            _settle_facts(connection, plan.settled)
            _finish_transcripts(connection, list(plan.settled), now)


def _is_owner_row(owner: Owner) -> ColumnElement[bool]:
    return and_(owners.c.tenant_id == owner.tenant_id, owners.c.user_id == owner.user_id)


def _is_owned(table: Table, owner: Owner) -> ColumnElement[bool]:
    return and_(table.c.tenant_id == owner.tenant_id, table.c.user_id == owner.user_id)


def _when(
    condition: ColumnElement[bool], due_at: datetime | None, otherwise: datetime
) -> ColumnElement[datetime | None]:
    return case((condition, due_at), else_=otherwise)


def _key_hashes(statements: Iterable[str]) -> list[Function[str]]:
    keys = sorted({statement_key(statement) for statement in statements})
    return [func.md5(key) for key in keys]


def _load_evidence(
    connection: Connection, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[Evidence]]:
    statement = (
        select(evidence)
        .where(evidence.c.memory_id.in_(ids))
        .order_by(evidence.c.said_at, evidence.c.receipt, evidence.c.message_index)
    )
    found: dict[uuid.UUID, list[Evidence]] = {}
    for row in connection.execute(statement).mappings():
        found.setdefault(row["memory_id"], []).append(read_evidence(row))
    return found


def _check_fence(connection: Connection, claim: OwnerClaim) -> None:
    # Locked until the commit: facts that arrive meanwhile mark the user due after it.
    fence = connection.execute(
        select(owners.c.fence).where(_is_owner_row(claim.owner)).with_for_update()
    ).scalar_one_or_none()
    if fence != claim.fence:
        raise LeaseLost(f"user lease: fence {claim.fence} has moved on to {fence}")


def _write_memories(connection: Connection, plan: Plan, now: datetime) -> None:
    states = plan.final_states()
    fresh = [
        memory_row(memory, now) for key, memory in states.items() if key not in plan.read_versions
    ]
    if fresh:
        statement = upsert(memories).on_conflict_do_nothing().returning(memories.c.id)
        written = connection.execute(statement, fresh).scalars().all()
        if len(written) != len(fresh):
            raise VersionConflict("a memory that should be new exists already")
    for key, version in plan.read_versions.items():
        if key in states:
            _update_memory(connection, states[key], version, now)


def _update_memory(connection: Connection, memory: Memory, version: int, now: datetime) -> None:
    row = memory_row(memory, now)
    statement = (
        update(memories)
        .where(
            memories.c.id == row.pop("id"),
            memories.c.version == version,
            _is_owned(memories, memory.owner),
        )
        .values(**row)
    )
    if connection.execute(statement).rowcount != 1:
        raise VersionConflict(f"memory {memory.id}: version {version} has moved on")


def _write_evidence(connection: Connection, plan: Plan) -> None:
    for change in plan.changes:
        if isinstance(change, Refile) and change.released:
            _delete_evidence(connection, change.memory.id, change.released)
    rows = [
        evidence_row(change.memory.id, item)
        for change in plan.changes
        for item in _added_evidence(change)
    ]
    if rows:
        connection.execute(upsert(evidence).on_conflict_do_nothing(), rows)


def _added_evidence(change: object) -> tuple[Evidence, ...]:
    if isinstance(change, Insert):
        return change.memory.evidence
    return change.added if isinstance(change, Reinforce | Refile) else ()


def _delete_evidence(
    connection: Connection, memory_id: MemoryId, released: Sequence[Evidence]
) -> None:
    keys = [(item.transcript_id, item.message_index, quote_key(item)) for item in released]
    connection.execute(
        delete(evidence).where(
            evidence.c.memory_id == memory_id,
            tuple_(evidence.c.receipt, evidence.c.message_index, evidence.c.quote_key).in_(keys),
        )
    )


def _write_events(connection: Connection, plan: Plan, now: datetime) -> None:
    rows = event_rows(plan, now)
    if rows:
        connection.execute(insert(events), rows)


def _fill_outbox(connection: Connection, plan: Plan, now: datetime) -> None:
    rows = [
        {
            "memory_id": memory.id,
            "tenant_id": memory.owner.tenant_id,
            "user_id": memory.owner.user_id,
            "enqueued_at": now,
        }
        for memory in sorted(plan.final_states().values(), key=lambda memory: memory.id)
    ]
    if rows:
        statement = upsert(outbox)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[outbox.c.memory_id],
                set_={"enqueued_at": statement.excluded.enqueued_at},
            ),
            rows,
        )


def _settle_facts(connection: Connection, settled: Mapping[FactId, Settlement]) -> None:
    rows = [
        {
            "fact": key,
            "outcome": settlement.outcome.value,
            "reason": settlement.reason,
            "memory": settlement.memory_id,
        }
        for key, settlement in settled.items()
    ]
    if rows:
        statement = (
            update(facts)
            .where(facts.c.id == bindparam("fact"))
            .values(
                outcome=bindparam("outcome"),
                reason=bindparam("reason"),
                memory_id=bindparam("memory"),
            )
        )
        connection.execute(statement, rows)


def _finish_transcripts(connection: Connection, settled: Sequence[FactId], now: datetime) -> None:
    if not settled:
        return
    touched = select(facts.c.receipt).where(facts.c.id.in_(settled)).distinct()
    still_pending = exists().where(
        facts.c.receipt == transcripts.c.receipt, facts.c.outcome == FactOutcome.PENDING.value
    )
    connection.execute(
        update(transcripts)
        .where(
            transcripts.c.receipt.in_(touched),
            transcripts.c.state == TranscriptState.DISTILLED.value,
            ~still_pending,
        )
        .values(state=TranscriptState.DONE.value, finished_at=now)
    )
