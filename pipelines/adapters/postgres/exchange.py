"""Sessions read with the facts that are kept of them, and taken in beside what is known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, exists, select
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.arrays import is_among
from pipelines.adapters.postgres.due import mark_due
from pipelines.adapters.postgres.inbox_rows import fact_rows, transcript_row
from pipelines.adapters.postgres.legal_holds import is_free
from pipelines.adapters.postgres.memories import KEPT
from pipelines.adapters.postgres.rows import read_fact
from pipelines.adapters.postgres.tables import events, facts, memories, transcripts, verdicts
from pipelines.adapters.postgres.tombstones import check_not_erased, lock_subjects
from pipelines.adapters.postgres.touching import Touch, touch
from pipelines.model import EVERYONE, FactOutcome, MemoryId, Owner, ReceiptId, TranscriptState
from pipelines.ports import CarriedVerdict, Settled, TakenIn
from pipelines.stages.carrying import CarriedSession, cite_stored
from pipelines.stages.merging.relate import Relation

if TYPE_CHECKING:
    import uuid
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection

    from pipelines.adapters.postgres.database import Database
    from pipelines.model import Fact
    from pipelines.ports import FactPlace, Mark
    from pipelines.stages.carrying import Arrived

_DISTILLED = (TranscriptState.DISTILLED.value, TranscriptState.DONE.value)
_WHY = {"reason": "it was evicted where it was exported"}


class PostgresExchange:
    """``ExchangeStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read_sessions(
        self, tenant_id: str, user_id: str | None, after: ReceiptId | None, limit: int
    ) -> tuple[list[CarriedSession], ReceiptId | None]:
        conditions = [facts.c.tenant_id == tenant_id, facts.c.outcome.in_(KEPT)]
        if user_id is not None:
            conditions.append(facts.c.user_id == user_id)
        if after is not None:
            conditions.append(facts.c.receipt > after)
        page = select(facts.c.receipt).where(*conditions).distinct().order_by(facts.c.receipt)
        with self._database.transaction(tenant_id) as connection:
            receipts = list(connection.execute(page.limit(limit)).scalars())
            rows = _read_rows(connection, tenant_id, receipts)
        sessions = [_read_session(rows[key]) for key in receipts if key in rows]
        return sessions, ReceiptId(receipts[-1]) if len(receipts) == limit else None

    def read_verdicts(self, owner: Owner, after: str, limit: int) -> list[CarriedVerdict]:
        statement = (
            select(verdicts.c.pair_key, verdicts.c.relation, verdicts.c.judged_by)
            .where(
                verdicts.c.tenant_id == owner.tenant_id,
                verdicts.c.user_id == owner.user_id,
                verdicts.c.pair_key > after,
            )
            .order_by(verdicts.c.pair_key)
            .limit(limit)
        )
        with self._database.transaction(owner.tenant_id) as connection:
            return [
                CarriedVerdict(row.pair_key, Relation(row.relation), row.judged_by)
                for row in connection.execute(statement)
            ]

    def take_in(
        self, owner: Owner, arrived: Sequence[Arrived], now: datetime, *, dry_run: bool
    ) -> TakenIn:
        each = {item.transcript.id: item for item in arrived}
        with self._database.transaction(owner.tenant_id) as connection:
            told = {item.transcript.session_id for item in arrived}
            check_not_erased(connection, owner, now, told)
            fresh = _find_fresh(connection, owner, each)
            if not dry_run:
                fresh = _store(connection, [each[key] for key in sorted(fresh)], now)
            known = _lock_known(connection, owner, sorted(each.keys() - fresh))
            done = _find_ordinals(connection, owner, each.keys())
            counts, rows = TakenIn(sessions=len(fresh)), []
            for key, item in each.items():
                new = [fact for fact in item.facts if (key, fact.ordinal) not in done]
                if key not in fresh and key not in known:
                    counts = replace(counts, open=counts.open + len(item.facts))
                    continue
                counts = replace(
                    counts,
                    facts=counts.facts + len(new),
                    known=counts.known + len(item.facts) - len(new),
                )
                rows += fact_rows(item.transcript, _cited(new, known.get(key)), [])
            if rows and not dry_run:
                connection.execute(upsert(facts).on_conflict_do_nothing(), rows)
                mark_due(connection, owner, now)
        return counts

    def settle(self, owner: Owner, marks: Mapping[FactPlace, Mark], now: datetime) -> Settled:
        with self._database.transaction(owner.tenant_id) as connection:
            lock_subjects(connection, [owner])
            rows = _find_facts(connection, owner, {receipt for receipt, _ in marks})
            found = {key: row for key, row in rows.items() if key in marks}
            waiting = sum(row.outcome == FactOutcome.PENDING.value for row in found.values())
            homes = {key: row.memory_id for key, row in found.items() if row.memory_id}
            if waiting:
                return Settled(waiting, homes)
            pinned = {homes[key] for key in homes if marks[key].pinned}
            faded = {homes[key] for key in homes if marks[key].is_evicted}
            living = {homes[key] for key in homes if not marks[key].is_evicted or marks[key].pinned}
            return Settled(
                waiting,
                homes,
                _pin(connection, owner, pinned, now),
                _evict(connection, owner, faded - living, list(found), now),
            )


# ---- reading -------------------------------------------------------------------------------------


def _read_rows(
    connection: Connection, tenant_id: str, receipts: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[Mapping[Any, Any]]]:
    names = ("idempotency_key", "content_hash", "started_at", "time_zone", "agent_id")
    statement = (
        select(facts, *(transcripts.c[name].label(f"of_{name}") for name in names))
        .join(transcripts, transcripts.c.receipt == facts.c.receipt)
        .where(
            facts.c.tenant_id == tenant_id,
            is_among(facts.c.receipt, receipts),
            facts.c.outcome.in_(KEPT),
        )
        .order_by(facts.c.receipt, facts.c.ordinal)
    )
    found: dict[uuid.UUID, list[Mapping[Any, Any]]] = {}
    for row in connection.execute(statement).mappings():
        found.setdefault(row["receipt"], []).append(row)
    return found


def _read_session(rows: Sequence[Mapping[Any, Any]]) -> CarriedSession:
    first = rows[0]
    return CarriedSession(
        source=Owner(first["tenant_id"], first["user_id"]),
        session_id=first["session_id"],
        idempotency_key=first["of_idempotency_key"],
        content_hash=first["of_content_hash"],
        started_at=first["of_started_at"],
        time_zone=first["of_time_zone"],
        agent_id=first["of_agent_id"],
        facts=tuple(map(read_fact, rows)),
        memory_ids=tuple(MemoryId(row["memory_id"]) for row in rows),
    )


# ---- taking in -----------------------------------------------------------------------------------


def _find_fresh(
    connection: Connection, owner: Owner, each: Mapping[ReceiptId, Arrived]
) -> set[ReceiptId]:
    statement = select(transcripts.c.receipt).where(_is_of(owner, each.keys()))
    return set(each) - set(connection.execute(statement).scalars())


def _store(connection: Connection, arrived: Sequence[Arrived], now: datetime) -> set[ReceiptId]:
    """Store sessions whose distilling is over; gives those that nobody stored meanwhile."""
    rows = [
        transcript_row(item.transcript, now) | {"state": TranscriptState.DISTILLED.value}
        for item in arrived
    ]
    if not rows:
        return set()
    statement = upsert(transcripts).values(rows).on_conflict_do_nothing()
    return set(connection.execute(statement.returning(transcripts.c.receipt)).scalars())


def _lock_known(
    connection: Connection, owner: Owner, receipts: Sequence[uuid.UUID]
) -> dict[uuid.UUID, list[tuple[str, str]]]:
    """The messages of those that are distilled; none where their text is gone."""
    statement = (
        select(transcripts.c.receipt, transcripts.c.body["messages"])
        .where(_is_of(owner, receipts), transcripts.c.state.in_(_DISTILLED))
        .order_by(transcripts.c.receipt)
        .with_for_update()
    )
    return {
        receipt: [(item["id"], item["content"]) for item in messages or ()]
        for receipt, messages in connection.execute(statement)
    }


def _find_ordinals(
    connection: Connection, owner: Owner, receipts: Iterable[uuid.UUID]
) -> set[FactPlace]:
    return set(_find_facts(connection, owner, receipts))


def _find_facts(
    connection: Connection, owner: Owner, receipts: Iterable[uuid.UUID]
) -> dict[FactPlace, Any]:
    statement = select(
        facts.c.receipt, facts.c.ordinal, facts.c.outcome, facts.c.memory_id, facts.c.id
    ).where(
        facts.c.tenant_id == owner.tenant_id,
        facts.c.user_id == owner.user_id,
        is_among(facts.c.receipt, list(receipts)),
    )
    return {(row.receipt, row.ordinal): row for row in connection.execute(statement)}


def _cited(new: Sequence[Fact], messages: Sequence[tuple[str, str]] | None) -> Sequence[Fact]:
    return cite_stored(new, messages) if messages else new


def _is_of(owner: Owner, receipts: Iterable[uuid.UUID]) -> ColumnElement[bool]:
    return and_(
        transcripts.c.tenant_id == owner.tenant_id,
        transcripts.c.user_id == owner.user_id,
        is_among(transcripts.c.receipt, list(receipts)),
    )


# ---- marking -------------------------------------------------------------------------------------


def _pin(connection: Connection, owner: Owner, keys: Iterable[uuid.UUID], now: datetime) -> int:
    is_wanted = and_(~memories.c.pinned, ~_was(("memory_pinned", "memory_unpinned")))
    chosen = _lock_memories(connection, owner, keys, is_wanted)
    values = {"pinned": True, "evicted_at": None}
    return touch(connection, chosen, Touch("memory_pinned", values), now)


def _evict(
    connection: Connection,
    owner: Owner,
    keys: Iterable[uuid.UUID],
    marked: Sequence[FactPlace],
    now: datetime,
) -> int:
    """Evict what is in use still, unless something else went into it, or it ever was evicted."""
    is_wanted = and_(
        ~memories.c.pinned,
        memories.c.evicted_at.is_(None),
        is_free(memories),
        ~_was(("memory_evicted",)),
    )
    chosen = set(_lock_memories(connection, owner, keys, is_wanted))
    others = select(facts.c.memory_id, facts.c.receipt, facts.c.ordinal).where(
        is_among(facts.c.memory_id, list(chosen))
    )
    known = set(marked)
    chosen -= {
        row.memory_id
        for row in connection.execute(others)
        if (row.receipt, row.ordinal) not in known
    }
    why = {MemoryId(key): _WHY for key in chosen}
    return touch(connection, chosen, Touch("memory_evicted", {"evicted_at": now}, why), now)


def _was(names: Sequence[str]) -> ColumnElement[bool]:
    return exists().where(events.c.memory_id == memories.c.id, events.c.name.in_(names))


def _lock_memories(
    connection: Connection,
    owner: Owner,
    keys: Iterable[uuid.UUID],
    condition: ColumnElement[bool],
) -> list[uuid.UUID]:
    statement = (
        select(memories.c.id)
        .where(
            memories.c.tenant_id == owner.tenant_id,
            memories.c.user_id == owner.user_id,
            memories.c.user_id != EVERYONE,
            is_among(memories.c.id, list(keys)),
            condition,
        )
        .order_by(memories.c.id)
        .with_for_update()
    )
    return list(connection.execute(statement).scalars())
