"""API keys: what they open, and the hashes of their secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, insert, or_, select, update

from pipelines.adapters.postgres.tables import api_keys
from pipelines.errors import NotFound
from pipelines.ports import StoredKey
from pipelines.stages.keys import ApiKey, KeyId, KeyScope

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement

    from pipelines.adapters.postgres.database import Database

# All but the hash: nobody needs it who does not compare it.
_OPENED = [column for column in api_keys.c if column.name != "digest"]


class PostgresKeys:
    """``KeyStore`` on PostgreSQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_key(self, stored: StoredKey) -> None:
        with self._database.transaction(stored.key.tenant_id) as connection:
            connection.execute(insert(api_keys), _row(stored))

    def find_key(self, key: KeyId) -> StoredKey | None:
        statement = select(api_keys).where(api_keys.c.id == key)
        with self._database.transaction() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else StoredKey(_read(row), bytes(row["digest"]))

    def load_key(self, tenant_id: str, key: KeyId) -> ApiKey:
        statement = select(*_OPENED).where(*_is(tenant_id, key))
        with self._database.transaction(tenant_id) as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return _read_found(row, key)

    def list_keys(self, tenant_id: str) -> list[ApiKey]:
        statement = (
            select(*_OPENED)
            .where(api_keys.c.tenant_id == tenant_id)
            .order_by(api_keys.c.created_at, api_keys.c.id)
        )
        with self._database.transaction(tenant_id) as connection:
            return [_read(row) for row in connection.execute(statement).mappings()]

    def revoke_key(self, tenant_id: str, key: KeyId, now: datetime) -> ApiKey:
        statement = (
            update(api_keys)
            .where(*_is(tenant_id, key))
            .values(revoked_at=func.coalesce(api_keys.c.revoked_at, now))
            .returning(*_OPENED)
        )
        with self._database.transaction(tenant_id) as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return _read_found(row, key)

    def replace_key(self, old: KeyId, new: StoredKey, until: datetime) -> None:
        # ``least`` passes over what is NULL.
        ends_at = func.least(api_keys.c.expires_at, until)
        statement = (
            update(api_keys)
            .where(*_is(new.key.tenant_id, old), api_keys.c.revoked_at.is_(None))
            .values(expires_at=ends_at)
        )
        with self._database.transaction(new.key.tenant_id) as connection:
            if connection.execute(statement).rowcount != 1:
                raise _unknown(old)
            connection.execute(insert(api_keys), _row(new))

    def note_use(self, key: ApiKey, now: datetime, every: timedelta) -> None:
        if key.last_used_at is not None and key.last_used_at > now - every:
            return
        statement = (
            update(api_keys)
            .where(
                *_is(key.tenant_id, key.id),
                # Other processes have seen it, too.
                or_(api_keys.c.last_used_at.is_(None), api_keys.c.last_used_at <= now - every),
            )
            .values(last_used_at=now)
        )
        with self._database.transaction(key.tenant_id) as connection:
            connection.execute(statement)


def _is(tenant_id: str, key: KeyId) -> tuple[ColumnElement[bool], ...]:
    return (api_keys.c.id == key, api_keys.c.tenant_id == tenant_id)


def _unknown(key: KeyId) -> NotFound:
    return NotFound(f"no API key has the id {key}")


def _read_found(row: Mapping[Any, Any] | None, key: KeyId) -> ApiKey:
    if row is None:
        raise _unknown(key)
    return _read(row)


def _row(stored: StoredKey) -> dict[str, Any]:
    key = stored.key
    return {
        "id": key.id,
        "tenant_id": key.tenant_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "user_id": key.user_id,
        "digest": stored.digest,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def _read(row: Mapping[Any, Any]) -> ApiKey:
    return ApiKey(
        id=KeyId(row["id"]),
        tenant_id=row["tenant_id"],
        name=row["name"],
        scopes=frozenset(map(KeyScope, row["scopes"])),
        created_at=row["created_at"],
        user_id=row["user_id"],
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )
