"""The keys that open the API."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from pipelines.stages.keys import ApiKey, KeyId


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key and the SHA-256 of its secret."""

    key: ApiKey
    digest: bytes = field(repr=False)


class KeyStore(Protocol):
    """Keeps keys; whoever changes or lists them names their tenant."""

    def add_key(self, stored: StoredKey) -> None:
        """Keep a new key."""
        ...

    def find_key(self, key: KeyId) -> StoredKey | None:
        """A key of any tenant, also one that has ended; only its secret says whose it is."""
        ...

    def load_key(self, tenant_id: str, key: KeyId) -> ApiKey:
        """A key of a tenant, also one that has ended.

        Raises:
            NotFound: The tenant has no such key.
        """
        ...

    def list_keys(self, tenant_id: str) -> list[ApiKey]:
        """All keys of a tenant, also those that have ended, the oldest first."""
        ...

    def revoke_key(self, tenant_id: str, key: KeyId, now: datetime) -> ApiKey:
        """End a key; the moment of the first time stays.

        Raises:
            NotFound: The tenant has no such key.
        """
        ...

    def replace_key(self, old: KeyId, new: StoredKey, until: datetime) -> None:
        """Keep a new key of the same tenant, and let the old one end then at the latest.

        Raises:
            NotFound: The tenant has no such key, or it was revoked; nothing was written.
        """
        ...

    def note_use(self, key: ApiKey, now: datetime, every: timedelta) -> None:
        """Write when a key was used, unless that was written less than ``every`` ago."""
        ...
