"""API keys in memory, behind one lock, under the same contract."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.errors import NotFound
from pipelines.ports import StoredKey

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from pipelines.stages.keys import ApiKey, KeyId


class InMemoryKeys:
    """``KeyStore`` over a dictionary; ``found`` and ``noted`` count what was asked and written."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._stored: dict[KeyId, StoredKey] = {}
        self.found = 0
        self.noted = 0

    def add_key(self, stored: StoredKey) -> None:
        with self._lock:
            self._stored[stored.key.id] = stored

    def find_key(self, key: KeyId) -> StoredKey | None:
        with self._lock:
            self.found += 1
            return self._stored.get(key)

    def load_key(self, tenant_id: str, key: KeyId) -> ApiKey:
        with self._lock:
            stored = self._stored.get(key)
        if stored is None or stored.key.tenant_id != tenant_id:
            raise NotFound(f"no API key has the id {key}")
        return stored.key

    def list_keys(self, tenant_id: str) -> list[ApiKey]:
        with self._lock:
            found = [item.key for item in self._stored.values() if item.key.tenant_id == tenant_id]
        return sorted(found, key=lambda key: (key.created_at, key.id))

    def revoke_key(self, tenant_id: str, key: KeyId, now: datetime) -> ApiKey:
        with self._lock:
            known = self.load_key(tenant_id, key)
            self._change(replace(known, revoked_at=known.revoked_at or now))
            return self.load_key(tenant_id, key)

    def replace_key(self, old: KeyId, new: StoredKey, until: datetime) -> None:
        with self._lock:
            known = self.load_key(new.key.tenant_id, old)
            if known.revoked_at is not None:
                raise NotFound(f"no API key has the id {old}")
            self._change(replace(known, expires_at=min(known.expires_at or until, until)))
            self.add_key(new)

    def note_use(self, key: ApiKey, now: datetime, every: timedelta) -> None:
        with self._lock:
            known = self.load_key(key.tenant_id, key.id)
            if known.last_used_at is None or known.last_used_at <= now - every:
                self.noted += 1
                self._change(replace(known, last_used_at=now))

    def _change(self, key: ApiKey) -> None:
        self._stored[key.id] = StoredKey(key, self._stored[key.id].digest)
