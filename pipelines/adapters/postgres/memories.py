"""Memories with their evidence and events, and the lease of the user they belong to."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    ARRAY,
    UUID,
    Connection,
    DateTime,
    Text,
    and_,
    any_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
    union,
    update,
)

from pipelines.adapters.postgres.arrays import is_found, is_named
from pipelines.adapters.postgres.commit import write_plan
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
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement, CompoundSelect, Select, Table

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
        values = {**of_owner(owner), "now": now, "until": now + lease}
        with self._database.transaction(owner.tenant_id) as connection:
            row = connection.execute(_CLAIM, values).one_or_none()
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
        values = {
            **of_owner(claim.owner),
            "held_fence": claim.fence,
            "seen": claim.generation,
            "resume_at": due_at,
            "now": now,
            "keeps_attempts": error is not None,
            "deaths": deaths,
            "last_error": error,
        }
        with self._database.transaction(claim.owner.tenant_id) as connection:
            unchanged = connection.execute(_RELEASE, values).scalar_one_or_none()
        return unchanged is False

    def load_reviews(self, owner: Owner) -> list[Review]:
        with self._database.transaction(owner.tenant_id) as connection:
            return [Review(*row) for row in connection.execute(_REVIEWS, of_owner(owner))]

    def extend_owner_lease(self, claim: OwnerClaim, until: datetime) -> None:
        values = {**of_owner(claim.owner), "held_fence": claim.fence, "lease_until": until}
        with self._database.transaction(claim.owner.tenant_id) as connection:
            if connection.execute(_EXTEND, values).rowcount != 1:
                raise LeaseLost(f"user lease: fence {claim.fence} has moved on")

    def mark_owner_due(self, owner: Owner, now: datetime) -> None:
        with self._database.transaction(owner.tenant_id) as connection:
            mark_due(connection, owner, now)

    # ---- what consolidation reads -------------------------------------------------------------

    def pending_facts(self, owner: Owner, limit: int) -> list[Fact]:
        values = {**of_owner(owner), "limit": limit}
        with self._database.transaction(owner.tenant_id) as connection:
            return [read_fact(row) for row in connection.execute(_PENDING, values).mappings()]

    def earliest_undistilled(self, owner: Owner, received_after: datetime) -> datetime | None:
        values = {**of_owner(owner), "received_after": received_after}
        with self._database.transaction(owner.tenant_id) as connection:
            found: datetime | None = connection.execute(_UNDISTILLED, values).scalar_one()
        return found

    def oldest_pending(self, owner: Owner) -> datetime | None:
        # The facts of a generation rest on transcripts that are not its own.
        with self._database.transaction() as connection:
            found: datetime | None = connection.execute(
                _OLDEST_PENDING, of_owner(owner)
            ).scalar_one()
        return found

    def find_candidates(
        self,
        owner: Owner,
        statements: Collection[str],
        slots: Collection[Slot],
        near: Collection[MemoryId] = (),
    ) -> list[Memory]:
        keys = sorted({statement_key(statement) for statement in statements})
        hashes = [hashlib.md5(key.encode(), usedforsecurity=False).hexdigest() for key in keys]
        values = {**of_owner(owner), "hashes": hashes, "ids": list(near), **_slot_names(slots)}
        return self._load(owner.tenant_id, _CANDIDATES, values)

    def load_memories(self, owner: Owner, ids: Collection[MemoryId]) -> list[Memory]:
        if not ids:
            return []
        return self._load(owner.tenant_id, _THESE, {**of_owner(owner), "ids": list(ids)})

    def load_slot(self, owner: Owner, slot: Slot) -> list[Memory]:
        return self._load(owner.tenant_id, _IN_SLOTS, {**of_owner(owner), **_slot_names([slot])})

    def load_facts(
        self, owner: Owner, memory_ids: Collection[MemoryId]
    ) -> dict[MemoryId, tuple[Fact, ...]]:
        if not memory_ids:
            return {}
        values = {**of_owner(owner), "ids": list(memory_ids)}
        found: dict[MemoryId, tuple[Fact, ...]] = {}
        with self._database.transaction(owner.tenant_id) as connection:
            for row in connection.execute(_FACTS_OF, values).mappings():
                key = MemoryId(row["memory_id"])
                found[key] = (*found.get(key, ()), read_fact(row))
        return found

    def find_memory(self, tenant_id: str, key: MemoryId, user_id: str | None = None) -> Memory:
        conditions = [memories.c.tenant_id == tenant_id, memories.c.id == key]
        if user_id is not None:
            conditions.append(memories.c.user_id.in_([user_id, EVERYONE]))
        found = self._load(tenant_id, _select_memories(*conditions), {})
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
        return self._load(tenant_id, _select_memories(*conditions).limit(limit), {})

    def _load(
        self, tenant_id: str, statement: Select[Any], values: Mapping[str, object]
    ) -> list[Memory]:
        with self._database.transaction(tenant_id) as connection:
            rows = connection.execute(statement, values).mappings().all()
            cited = load_evidence(connection, [row["id"] for row in rows])
        return [read_memory(row, cited.get(row["id"], [])) for row in rows]

    # ---- the commit ---------------------------------------------------------------------------

    def commit_plan(self, claim: OwnerClaim, plan: Plan, now: datetime) -> None:
        with self._database.transaction(claim.owner.tenant_id) as connection:
            write_plan(connection, claim, plan, now)


def of_owner(owner: Owner) -> dict[str, str]:
    """The parameters of a statement about one user."""
    return {"of_tenant": owner.tenant_id, "of_user": owner.user_id}


def _slot_names(slots: Collection[Slot]) -> dict[str, list[str]]:
    return {
        "subjects": [slot.subject for slot in slots],
        "attributes": [slot.attribute for slot in slots],
        "members": [slot.member or "" for slot in slots],
    }


def load_evidence(
    connection: Connection, ids: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[Evidence]]:
    """The evidence of memories, in the order in which it was said."""
    found: dict[uuid.UUID, list[Evidence]] = {}
    if ids:
        for row in connection.execute(_EVIDENCE, {"ids": list(ids)}).mappings():
            found.setdefault(row["memory_id"], []).append(read_evidence(row))
    return found


# ---- statements, made once: each user who is consolidated executes them --------------------------


def _is_owned(table: Table) -> ColumnElement[bool]:
    return and_(
        table.c.tenant_id == bindparam("of_tenant"), table.c.user_id == bindparam("of_user")
    )


def _is_among(column: ColumnElement[Any], name: str = "ids") -> ColumnElement[bool]:
    return column == any_(bindparam(name, type_=ARRAY(UUID)))


def _select_memories(*conditions: ColumnElement[bool]) -> Select[Any]:
    return select(memories).where(*conditions).order_by(memories.c.id)


def _select_slotted() -> Select[Any]:
    names = (bindparam(name, type_=ARRAY(Text)) for name in ("subjects", "attributes", "members"))
    wanted = func.unnest(*names).table_valued("subject", "attribute", "member").render_derived()
    return (
        select(memories.c.id)
        .join(
            wanted,
            and_(
                memories.c.slot_subject == wanted.c.subject,
                memories.c.slot_attribute == wanted.c.attribute,
                func.coalesce(memories.c.slot_member, "") == wanted.c.member,
            ),
        )
        .where(_is_owned(memories))
    )


def _select_candidates() -> CompoundSelect[Any]:
    """Each part goes by an index of its own, however many memories the user has."""
    hashes = bindparam("hashes", type_=ARRAY(Text))
    same = select(memories.c.id).where(
        _is_owned(memories), _IS_ACTIVE, func.md5(memories.c.statement_key) == any_(hashes)
    )
    waiting = select(outbox.c.memory_id).where(_is_owned(outbox))
    unseen_by_the_index = select(memories.c.id).where(is_found(memories.c.id, waiting), _IS_ACTIVE)
    near = select(memories.c.id).where(_is_owned(memories), _is_among(memories.c.id))
    return union(same, unseen_by_the_index, near, _select_slotted())


_IS_ACTIVE = is_named(memories.c.state, MemoryState.ACTIVE.value)
_IS_PENDING = is_named(facts.c.outcome, FactOutcome.PENDING.value)
_NOW = bindparam("now", type_=DateTime(timezone=True))
_CLAIM = (
    update(owners)
    .where(
        _is_owned(owners),
        owners.c.due_at <= _NOW,
        or_(owners.c.lease_until.is_(None), owners.c.lease_until <= _NOW),
    )
    .values(
        fence=owners.c.fence + 1,
        attempts=owners.c.attempts + 1,
        # Whoever held it was not heard of again.
        deaths=owners.c.deaths + case((owners.c.lease_until.is_not(None), 1), else_=0),
        lease_until=bindparam("until", type_=DateTime(timezone=True)),
    )
    .returning(
        owners.c.fence,
        owners.c.attempts,
        owners.c.generation,
        owners.c.deaths,
        exists().where(_is_owned(transcripts), is_named(transcripts.c.state, *OPEN_STATES)),
        exists().where(_is_owned(reviews)),
    )
)
_IS_UNCHANGED = owners.c.generation == bindparam("seen")
_RELEASE = (
    update(owners)
    .where(_is_owned(owners), owners.c.fence == bindparam("held_fence"))
    .values(
        lease_until=None,
        due_at=case(
            (_IS_UNCHANGED, bindparam("resume_at", type_=DateTime(timezone=True))), else_=_NOW
        ),
        attempts=case((bindparam("keeps_attempts"), owners.c.attempts), else_=0),
    )
    .returning(_IS_UNCHANGED)
)
_EXTEND = update(owners).where(_is_owned(owners), owners.c.fence == bindparam("held_fence"))
_REVIEWS = select(reviews.c.memory_id, reviews.c.weight, reviews.c.since).where(_is_owned(reviews))
_PENDING = (
    select(facts)
    .where(_is_owned(facts), _IS_PENDING)
    .order_by(facts.c.event_at, facts.c.receipt, facts.c.ordinal)
    .limit(bindparam("limit"))
)
_UNDISTILLED = select(func.min(transcripts.c.ended_at)).where(
    _is_owned(transcripts),
    is_named(transcripts.c.state, *OPEN_STATES),
    transcripts.c.received_at > bindparam("received_after"),
)
_OLDEST_PENDING = (
    select(func.min(transcripts.c.received_at))
    .join(facts, facts.c.receipt == transcripts.c.receipt)
    .where(_is_owned(facts), _IS_PENDING)
)
_CANDIDATES = _select_memories(_is_owned(memories), is_found(memories.c.id, _select_candidates()))
_IN_SLOTS = _select_memories(_is_owned(memories), is_found(memories.c.id, _select_slotted()))
_THESE = _select_memories(_is_owned(memories), _is_among(memories.c.id))
_FACTS_OF = select(facts).where(
    _is_owned(facts), _is_among(facts.c.memory_id), facts.c.outcome.in_(KEPT)
)
_EVIDENCE = (
    select(evidence)
    .where(_is_among(evidence.c.memory_id))
    .order_by(evidence.c.said_at, evidence.c.receipt, evidence.c.message_index)
)
