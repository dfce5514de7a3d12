"""What was erased, without a name, so that no backup brings it back."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, text
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.erasures import PostgresErasures
from pipelines.adapters.postgres.legal_holds import release_all
from pipelines.adapters.postgres.memories import PostgresMemoryStore
from pipelines.adapters.postgres.tables import erasures, metadata
from pipelines.model import Owner
from pipelines.ports import Erasure, ErasureId, ErasureState, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime, timedelta

    from pipelines.adapters.postgres.database import Database

BY = "restore"
# Of a side of a generation its live user is what is erased.
_SUBJECTS = """
SELECT DISTINCT split_part(tenant_id, E'\\x1f', 1), user_id, {session} FROM {table}
WHERE user_id <> '' AND encode(sha256(convert_to(
    concat_ws(E'\\x1f', split_part(tenant_id, E'\\x1f', 1), user_id, {session}), 'UTF8'
)), 'hex') = ANY (CAST(:keys AS text[]))
"""


class ErasureJournal:
    """The erasures of a database, and those of another one done again in it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self) -> list[Erasure]:
        """All of them, the oldest first, without the names that are not forgotten yet."""
        statement = select(*(erasures.c[name] for name in _KEPT)).order_by(
            erasures.c.requested_at, erasures.c.id
        )
        with self._database.transaction() as connection:
            rows = connection.execute(statement).mappings().all()
        return [
            Erasure(
                **{
                    **row,
                    "id": ErasureId(row["id"]),
                    "state": ErasureState(row["state"]),
                    "subject": None,
                    "due_at": None,
                }
            )
            for row in rows
        ]

    def replay(self, journal: Sequence[Erasure], now: datetime, lease: timedelta) -> int:
        """Erase whom a backup brought back, then take over the erasures as they were.

        Only what is not known here is done, so what was interrupted can be repeated.

        Returns:
            How many subjects were there again.
        """
        unknown = self._without_known(journal)
        marks: dict[str, datetime] = {}
        for erasure in unknown:
            key = erasure.subject_key
            marks[key] = max(marks.get(key, erasure.mark_at), erasure.mark_at)
        found = self._find_subjects(list(marks))
        for subject in found:
            self._erase(subject, marks[subject.key], now, lease)
        self._take_over(unknown)
        return len(found)

    def _without_known(self, journal: Sequence[Erasure]) -> list[Erasure]:
        with self._database.transaction() as connection:
            known = set(connection.execute(select(erasures.c.id)).scalars())
        return [erasure for erasure in journal if erasure.id not in known]

    def _find_subjects(self, keys: list[str]) -> list[Subject]:
        """Whoever has one of these keys, in any table: users first."""
        found: dict[Subject, None] = {}
        with self._database.transaction() as connection:
            connection.execute(text("SET LOCAL statement_timeout = 0"))
            for statement in _subject_queries():
                for row in connection.execute(text(statement), {"keys": keys}):
                    found[Subject(Owner(row[0], row[1]), row[2])] = None
        return list(found)

    def _erase(self, subject: Subject, mark_at: datetime, now: datetime, lease: timedelta) -> None:
        erasure = Erasure(
            id=ErasureId(uuid.uuid4()),
            tenant_id=subject.owner.tenant_id,
            subject_key=subject.key,
            subject=subject,
            state=ErasureState.PURGING,
            requested_at=now,
            requested_by=BY,
            # What was pushed after it had been erased stays new.
            mark_at=mark_at,
            due_at=now,
        )
        with self._database.transaction() as connection:
            # Whoever was erased was not held any more.
            release_all(connection, subject.owner, BY, now)
        forgotten = PostgresErasures(self._database).begin(erasure, lease)
        store = PostgresMemoryStore(self._database)
        for claim in forgotten.claims:
            store.release_owner(claim, now, now)

    def _take_over(self, unknown: Sequence[Erasure]) -> None:
        if not unknown:
            return
        with self._database.transaction() as connection:
            connection.execute(
                upsert(erasures).on_conflict_do_nothing(), [_row(item) for item in unknown]
            )


_KEPT = (
    "id",
    "tenant_id",
    "subject_key",
    "state",
    "requested_at",
    "requested_by",
    "mark_at",
    "purged_at",
    "verified_at",
    "removed",
    "found",
)


def _row(erasure: Erasure) -> dict[str, Any]:
    """As it was; one that was not proven yet stays so, for nobody knows its names any more."""
    is_verified = erasure.state is ErasureState.VERIFIED
    return {name: getattr(erasure, name) for name in _KEPT} | {
        "state": (ErasureState.VERIFIED if is_verified else ErasureState.PURGED).value,
        "removed": dict(erasure.removed),
        "found": dict(erasure.found),
        "receipts": [],
        "memory_ids": [],
    }


def _subject_queries() -> list[str]:
    owned = [
        table
        for table in metadata.sorted_tables
        if table is not erasures and {"tenant_id", "user_id"} <= {*table.c.keys()}
    ]
    users = [_SUBJECTS.format(table=table.name, session="NULL::text") for table in owned]
    sessions = [
        _SUBJECTS.format(table=table.name, session="session_id")
        for table in owned
        if "session_id" in table.c
    ]
    return [*users, *sessions]
