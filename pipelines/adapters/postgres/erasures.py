"""Erasures: begun in one transaction, gone on with until they are proven."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import (
    Connection,
    any_,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    true,
)
from sqlalchemy import update as sql_update
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.arrays import is_among, is_any
from pipelines.adapters.postgres.commit import waits_anew
from pipelines.adapters.postgres.forgetting import (
    forget_name,
    forget_session,
    forget_user,
    list_owners,
)
from pipelines.adapters.postgres.indexed import is_indexed
from pipelines.adapters.postgres.legal_holds import find_hold
from pipelines.adapters.postgres.paging import is_behind
from pipelines.adapters.postgres.profiles import count_entries
from pipelines.adapters.postgres.tables import (
    batch_items,
    checkpoints,
    erasures,
    event_snapshots,
    events,
    evidence,
    facts,
    memories,
    old_receipts,
    outbox,
    profile_entries,
    replies,
    transcripts,
    user_profiles,
)
from pipelines.adapters.postgres.tombstones import lock_subjects
from pipelines.errors import InputError, NotFound
from pipelines.model import MemoryId, Owner, ReceiptId
from pipelines.ports import (
    Erasure,
    ErasureId,
    ErasureState,
    Forgotten,
    Subject,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement

    from pipelines.adapters.postgres.database import Database


HELD = "is under the legal hold {hold}: nothing was erased; `memstill holds release` lets it go"


class PostgresErasures:
    """``ErasureStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(self, erasure: Erasure, lease: timedelta) -> Forgotten:
        subject, now = _subject_of(erasure), erasure.requested_at
        with self._database.transaction() as connection:
            # Deleting some ten thousand memories takes seconds.
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            lock_subjects(connection, [subject.owner], exclusive=True)
            if (hold := find_hold(connection, subject.owner)) is not None:
                raise InputError("user_id", HELD.format(hold=hold.id))
            whose = list_owners(connection, subject.owner)
            gone = (
                forget_user(connection, subject.owner, now)
                if subject.session_id is None
                else forget_session(connection, subject, now, lease)
            )
            row = _row(erasure) | {
                "removed": {str(name): count for name, count in gone.removed.items() if count},
                "receipts": gone.receipts,
                "memory_ids": gone.memory_ids,
                # Whoever began it goes on with it; should that fail, another does.
                "lease_until": now + lease,
            }
            connection.execute(insert(erasures), row)
        return Forgotten(_read(row), tuple(whose), tuple(gone.claims), gone.is_shared)

    def claim_due(self, now: datetime, lease: timedelta) -> Erasure | None:
        due = (
            select(erasures.c.id)
            .where(
                erasures.c.due_at <= now,
                or_(erasures.c.lease_until.is_(None), erasures.c.lease_until <= now),
            )
            .order_by(erasures.c.due_at)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        statement = (
            sql_update(erasures)
            # Not IN, whose query may be asked once for each row, and so lease several.
            .where(erasures.c.id == due.scalar_subquery())
            .values(lease_until=now + lease, fence=erasures.c.fence + 1)
            .returning(erasures)
        )
        with self._database.transaction() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else _read(row)

    def project_again(self, erasure: Erasure, owners: Sequence[Owner], now: datetime) -> None:
        is_back = is_among(memories.c.id, erasure.memory_ids) if erasure.is_of_session else true()
        source = select(
            memories.c.id, memories.c.tenant_id, memories.c.user_id, literal(now), literal(now)
        ).where(is_any(memories, owners), is_back, is_indexed())
        columns = ["memory_id", "tenant_id", "user_id", "enqueued_at", "due_at"]
        statement = upsert(outbox).from_select(columns, source.order_by(memories.c.id))
        with self._database.transaction() as connection:
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=[outbox.c.memory_id], set_=waits_anew(statement)
                )
            )

    def record_purged(self, key: ErasureId, removed: Mapping[str, int], due_at: datetime) -> None:
        with self._database.transaction() as connection:
            row = (
                connection.execute(select(erasures).where(erasures.c.id == key).with_for_update())
                .mappings()
                .one()
            )
            total = dict(row["removed"])
            for name, count in removed.items():
                total[name] = total.get(name, 0) + count
            _update(
                connection,
                key,
                state=ErasureState.PURGED.value,
                purged_at=func.coalesce(erasures.c.purged_at, func.now()),
                removed={name: count for name, count in total.items() if count},
                due_at=due_at,
                lease_until=None,
                last_error=None,
            )

    def postpone(self, key: ErasureId, due_at: datetime, error: str) -> None:
        with self._database.transaction() as connection:
            _update(connection, key, due_at=due_at, lease_until=None, last_error=error)

    def find_owners(self, erasure: Erasure) -> list[Owner]:
        with self._database.transaction() as connection:
            return list_owners(connection, _subject_of(erasure).owner)

    def count_expected(self, owner: Owner) -> int:
        statement = select(func.count()).where(
            memories.c.tenant_id == owner.tenant_id,
            memories.c.user_id == owner.user_id,
            is_indexed(),
        )
        with self._database.transaction() as connection:
            known = int(connection.execute(statement).scalar_one())
            return known + count_entries(connection, owner)

    def count_left(self, erasure: Erasure) -> dict[str, int]:
        with self._database.transaction() as connection:
            checks = _left_of_receipts(erasure) | _left_of_user(connection, erasure)
            return {
                name: int(connection.execute(select(func.count()).where(*conditions)).scalar_one())
                for name, conditions in checks.items()
            }

    def record_verified(self, key: ErasureId, found: Mapping[str, int], now: datetime) -> None:
        with self._database.transaction() as connection:
            row = (
                connection.execute(select(erasures).where(erasures.c.id == key).with_for_update())
                .mappings()
                .one()
            )
            _forget_names(connection, _subject_of(_read(row)))
            _update(
                connection,
                key,
                state=ErasureState.VERIFIED.value,
                verified_at=now,
                found=dict(found),
                due_at=None,
                lease_until=None,
                last_error=None,
                user_id=None,
                session_id=None,
                receipts=[],
                memory_ids=[],
            )

    def find(self, tenant_id: str, key: ErasureId) -> Erasure:
        statement = select(erasures).where(erasures.c.id == key, erasures.c.tenant_id == tenant_id)
        with self._database.transaction(tenant_id) as connection:
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            raise NotFound(f"no erasure has the id {key}")
        return _read(row)

    def list_latest(
        self, tenant_id: str, limit: int, after: ErasureId | None = None
    ) -> list[Erasure]:
        statement = (
            select(erasures)
            .where(erasures.c.tenant_id == tenant_id, is_behind(erasures, "requested_at", after))
            .order_by(erasures.c.requested_at.desc(), erasures.c.id)
            .limit(limit)
        )
        with self._database.transaction(tenant_id) as connection:
            return [_read(row) for row in connection.execute(statement).mappings()]

    def count_overdue(self, before: datetime) -> int:
        statement = select(func.count()).where(
            erasures.c.requested_at <= before, erasures.c.due_at.is_not(None)
        )
        with self._database.transaction() as connection:
            return int(connection.execute(statement).scalar_one())


def _left_of_receipts(erasure: Erasure) -> dict[str, list[ColumnElement[bool]]]:
    """What refers to transcripts that are gone; one that was pushed anew since is not meant."""
    keys = list(erasure.receipts)
    return {
        "transcripts": [
            is_among(transcripts.c.receipt, keys),
            transcripts.c.received_at <= erasure.requested_at,
        ],
        "evidence": [is_among(evidence.c.receipt, keys), _has_no(evidence.c.receipt)],
        "replies": [replies.c.receipts.overlap(keys), _has_none(replies.c.receipts)],
        "batch_items": [batch_items.c.receipts.overlap(keys), _has_none(batch_items.c.receipts)],
    }


def _has_no(receipt: ColumnElement[Any]) -> ColumnElement[bool]:
    return ~exists().where(transcripts.c.receipt == receipt)


def _has_none(receipts: ColumnElement[Any]) -> ColumnElement[bool]:
    return ~exists().where(transcripts.c.receipt == any_(receipts))


def _left_of_user(connection: Connection, erasure: Erasure) -> dict[str, list[ColumnElement[bool]]]:
    subject = _subject_of(erasure)
    if subject.session_id is not None:
        return {}
    before = erasure.requested_at
    found: dict[str, list[ColumnElement[bool]]] = {}
    times = {
        memories: memories.c.updated_at,
        events: events.c.at,
        checkpoints: checkpoints.c.saved_at,
        user_profiles: user_profiles.c.updated_at,
        profile_entries: profile_entries.c.changed_at,
        event_snapshots: event_snapshots.c.taken_at,
        old_receipts: old_receipts.c.archived_at,
        replies: replies.c.created_at,
    }
    for table, at in times.items():
        mine = is_any(table, list_owners(connection, subject.owner))
        found[f"{table.name} of the user"] = [mine, at < before]
    return found


def _forget_names(connection: Connection, subject: Subject) -> None:
    """Nobody keeps even the name of a user of whom nothing is left.

    A worker that was asking a model when the user was erased has booked the call since.
    """
    if subject.session_id is not None:
        return
    for owner in list_owners(connection, subject.owner):
        is_known = or_(
            *(exists().where(is_any(table, [owner])) for table in (transcripts, memories, facts))
        )
        if not connection.execute(select(is_known)).scalar_one():
            forget_name(connection, owner)


def _update(connection: Connection, key: ErasureId, **values: object) -> None:
    connection.execute(sql_update(erasures).where(erasures.c.id == key).values(**values))


def _subject_of(erasure: Erasure) -> Subject:
    if erasure.subject is None:
        raise NotFound(f"erasure {erasure.id} is verified: its subject is forgotten")
    return erasure.subject


def _row(erasure: Erasure) -> dict[str, Any]:
    subject = _subject_of(erasure)
    return {
        "id": erasure.id,
        "tenant_id": erasure.tenant_id,
        "subject_key": erasure.subject_key,
        "user_id": subject.owner.user_id,
        "session_id": subject.session_id,
        "state": erasure.state.value,
        "requested_at": erasure.requested_at,
        "requested_by": erasure.requested_by,
        "mark_at": erasure.mark_at,
        "due_at": erasure.due_at,
        "purged_at": None,
        "verified_at": None,
        "found": {},
        "last_error": None,
    }


def _read(row: Mapping[Any, Any]) -> Erasure:
    subject = None
    if row["user_id"] is not None:
        subject = Subject(Owner(row["tenant_id"], row["user_id"]), row["session_id"])
    return Erasure(
        id=ErasureId(row["id"]),
        tenant_id=row["tenant_id"],
        subject_key=row["subject_key"],
        subject=subject,
        state=ErasureState(row["state"]),
        requested_at=row["requested_at"],
        requested_by=row["requested_by"],
        mark_at=row["mark_at"],
        due_at=row["due_at"],
        purged_at=row["purged_at"],
        verified_at=row["verified_at"],
        removed=row["removed"],
        found=row["found"],
        receipts=tuple(map(ReceiptId, row["receipts"])),
        memory_ids=tuple(map(MemoryId, row["memory_ids"])),
        last_error=row["last_error"],
    )
