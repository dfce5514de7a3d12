"""Profiles and their entries; triggers make the latter of the former, whoever writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import ARRAY, UUID, and_, any_, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from pipelines.adapters.postgres.arrays import is_among
from pipelines.adapters.postgres.commit import waits_anew
from pipelines.adapters.postgres.rows import read_vector
from pipelines.adapters.postgres.tables import outbox, profile_entries, user_profiles
from pipelines.adapters.postgres.tombstones import check_not_erased
from pipelines.errors import InputError
from pipelines.model import MemoryId, MemoryState, Owner, Scope
from pipelines.ports import Expected, IndexPoint, Profile
from pipelines.stages.profile import ProfileEntry, Section, check_profile, is_same, merge_patch

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, Connection, Table

    from pipelines.adapters.postgres.database import Database
    from pipelines.model import Memory, Vector

_IS_PENDING = profile_entries.c.embedded_version.is_distinct_from(profile_entries.c.version)


# Made once: each projection executes the first of them, and each recall the second.
_UNEMBEDDED = (
    select(profile_entries)
    .where(_IS_PENDING)
    .order_by(profile_entries.c.version)
    .limit(bindparam("limit"))
)
_THESE = select(profile_entries).where(
    profile_entries.c.tenant_id == bindparam("of_tenant"),
    profile_entries.c.user_id == bindparam("of_user"),
    profile_entries.c.id == any_(bindparam("ids", type_=ARRAY(UUID))),
    profile_entries.c.embedding.is_not(None),
)


class PostgresProfiles:
    """``ProfileStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find_profile(self, owner: Owner) -> Profile:
        with self._database.transaction(owner.tenant_id) as connection:
            return _find(connection, owner)

    def patch_profile(
        self,
        owner: Owner,
        patch: Mapping[Section, Mapping[str, Any]],
        version: int | None,
        began_at: datetime,
    ) -> Profile:
        with self._database.transaction(owner.tenant_id) as connection:
            check_not_erased(connection, owner, began_at)
            while True:
                before = _find(connection, owner, lock=True)
                merged = _merge(before, patch, version)
                if is_same(merged, before.sections):
                    return before
                # Else somebody else has made the first one since: no lock keeps them out.
                if _write(connection, before, merged):
                    return _find(connection, owner)

    def load_entries(self, owner: Owner, ids: Collection[MemoryId]) -> list[Memory]:
        if not ids:
            return []
        values = {"of_tenant": owner.tenant_id, "of_user": owner.user_id, "ids": list(ids)}
        with self._database.transaction(owner.tenant_id) as connection:
            rows = connection.execute(_THESE, values).mappings().all()
        return [_read_entry(row).as_memory(read_vector(row["embedding"])) for row in rows]

    def find_unembedded(self, limit: int) -> list[ProfileEntry]:
        with self._database.transaction() as connection:
            found = connection.execute(_UNEMBEDDED, {"limit": limit}).mappings()
            return [_read_entry(row) for row in found]

    def keep_vectors(self, vectors: Sequence[tuple[ProfileEntry, Vector]], now: datetime) -> None:
        kept = sorted(vectors, key=lambda pair: pair[0].id)
        with self._database.transaction() as connection:
            for entry, vector in kept:
                statement = (
                    update(profile_entries)
                    .where(
                        profile_entries.c.id == entry.id,
                        # It may have changed again meanwhile.
                        profile_entries.c.version == entry.version,
                    )
                    .values(
                        embedding=vector.astype("<f4").tobytes(), embedded_version=entry.version
                    )
                )
                if connection.execute(statement).rowcount:
                    _enqueue(connection, entry, now)


def has_pending(connection: Connection) -> bool:
    """Whether an entry waits for its embedding."""
    statement = select(select(profile_entries.c.id).where(_IS_PENDING).exists())
    return bool(connection.execute(statement).scalar_one())


# ---- among what the index holds ------------------------------------------------------------------


def read_entry_points(connection: Connection, keys: Collection[MemoryId]) -> list[IndexPoint]:
    """The points of those ids that are entries."""
    if not keys:
        return []
    statement = select(profile_entries).where(
        is_among(profile_entries.c.id, list(keys)), profile_entries.c.embedding.is_not(None)
    )
    return [_read_point(row) for row in connection.execute(statement).mappings()]


def list_expected_entries(
    connection: Connection, after: MemoryId | None, limit: int
) -> list[Expected]:
    """What the index should hold of entries, in the order of their ids."""
    statement = select(profile_entries).order_by(profile_entries.c.id).limit(limit)
    if after is not None:
        statement = statement.where(profile_entries.c.id > after)
    return [
        Expected(
            MemoryId(row["id"]),
            Owner(row["tenant_id"], row["user_id"]),
            Scope.USER,
            row["embedded_version"] or row["version"],
            MemoryState.ACTIVE,
            row["embedding"] is not None,
        )
        for row in connection.execute(statement).mappings()
    ]


def count_entries(connection: Connection, owner: Owner | None = None) -> int:
    """Entries that have a point, or will; of one owner, or of all."""
    statement = select(func.count()).select_from(profile_entries)
    if owner is not None:
        is_indexed = profile_entries.c.embedding.is_not(None)
        statement = statement.where(_is_of(profile_entries, owner), is_indexed)
    return int(connection.execute(statement).scalar_one())


def _read_point(row: Mapping[Any, Any]) -> IndexPoint:
    entry = _read_entry(row)
    return IndexPoint(
        memory_id=entry.id,
        owner=entry.owner,
        scope=Scope.USER,
        session_id="",
        version=row["embedded_version"],
        vector=read_vector(row["embedding"]),
        text=entry.statement,
        state=MemoryState.ACTIVE,
        valid_from=entry.changed_at,
    )


def _read_entry(row: Mapping[Any, Any]) -> ProfileEntry:
    return ProfileEntry(
        id=MemoryId(row["id"]),
        owner=Owner(row["tenant_id"], row["user_id"]),
        section=Section(row["section"]),
        key=row["key"],
        value=row["value"],
        version=row["version"],
        changed_at=row["changed_at"],
    )


def _find(connection: Connection, owner: Owner, *, lock: bool = False) -> Profile:
    statement = select(user_profiles).where(_is_of(user_profiles, owner))
    if lock:
        statement = statement.with_for_update()
    row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        return Profile(owner, {section: {} for section in Section})
    bodies = {section: row[section.value] for section in Section}
    return Profile(owner, bodies, row["version"], row["updated_at"])


def _merge(
    before: Profile, patch: Mapping[Section, Mapping[str, Any]], version: int | None
) -> dict[Section, Mapping[str, Any]]:
    if version not in {None, before.version}:
        raise InputError(
            "version", f"is {before.version} by now: read the profile again, then change it"
        )
    merged = {
        section: merge_patch(before.sections.get(section, {}), patch.get(section, {}))
        for section in Section
    }
    if not is_same(merged, before.sections):
        check_profile(merged)
    return merged


def _write(
    connection: Connection, before: Profile, merged: Mapping[Section, Mapping[str, Any]]
) -> bool:
    """Write what was merged; False if there is a profile by now where there was none."""
    owner, bodies = before.owner, {section.value: body for section, body in merged.items()}
    if before.version:
        statement = update(user_profiles).where(_is_of(user_profiles, owner)).values(bodies)
        return bool(connection.execute(statement).rowcount)
    values = {"tenant_id": owner.tenant_id, "user_id": owner.user_id, **bodies}
    first = upsert(user_profiles).values(values).on_conflict_do_nothing()
    made = connection.execute(first.returning(user_profiles.c.version))
    return made.one_or_none() is not None


def _is_of(table: Table, owner: Owner) -> ColumnElement[bool]:
    return and_(table.c.tenant_id == owner.tenant_id, table.c.user_id == owner.user_id)


def _enqueue(connection: Connection, entry: ProfileEntry, now: datetime) -> None:
    statement = upsert(outbox).values(
        memory_id=entry.id,
        tenant_id=entry.owner.tenant_id,
        user_id=entry.owner.user_id,
        enqueued_at=now,
        due_at=now,
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=[outbox.c.memory_id], set_=waits_anew(statement)
        )
    )
