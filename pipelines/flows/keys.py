"""API keys: handing them out, ending them, and telling whose a request is."""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import InputError, KeyRefused
from pipelines.ports import StoredKey
from pipelines.stages.keys import (
    ID_BYTES,
    SECRET_BYTES,
    ApiKey,
    KeyId,
    hash_secret,
    is_secret,
    read_key,
    spell_key,
)
from pipelines.stages.redaction.clean import find_secret_id

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from config.access import KeyPolicy
    from pipelines.ports import Clock, KeyStore
    from pipelines.stages.keys import KeyScope

log = structlog.get_logger(__name__)

# As the wire has it for ids.
_NAME = re.compile(r"(?=.*\S)[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,200}")
MISSING = (
    "is missing; send `Authorization: Bearer KEY` with a key of `memstill keys create` (client and "
    "command line take it from MEMSTILL_API_KEY)"
)
UNKNOWN = "holds no key that is known here; `memstill keys create` makes one"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made.

    Attributes:
        text: The key itself: kept nowhere, shown once.
    """

    key: ApiKey
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ManageKeys:
    """Makes, replaces and revokes the keys of a tenant."""

    keys: KeyStore
    clock: Clock

    def create(
        self,
        tenant_id: str,
        name: str,
        scopes: Collection[KeyScope],
        *,
        user_id: str | None = None,
        lifetime: timedelta | None = None,
    ) -> NewKey:
        """Make a key.

        Args:
            tenant_id: Whose data it opens.
            name: For people to know it by.
            scopes: What it may be used for.
            user_id: The only user it acts for; None for all of the tenant.
            lifetime: None for a key without an end.

        Raises:
            InputError: A name is empty, too long or holds what no name does, or nothing would
                be allowed with it.
        """
        _check_names(tenant_id=tenant_id, name=name, user_id=user_id)
        if not scopes:
            raise InputError("scope", "is missing; name at least one of write, read, admin")
        now = self.clock.now()
        made, stored = _make(
            ApiKey(
                id=KeyId(""),
                tenant_id=tenant_id,
                name=name,
                scopes=frozenset(scopes),
                created_at=now,
                user_id=user_id,
                expires_at=_end_of(now, lifetime),
            )
        )
        self.keys.add_key(stored)
        log.info("key_created", key=made.key.id, tenant_id=tenant_id)
        return made

    def revoke(self, tenant_id: str, key: KeyId) -> ApiKey:
        """End a key now; repeating it changes nothing.

        Raises:
            NotFound: The tenant has no such key.
        """
        revoked = self.keys.revoke_key(tenant_id, key, self.clock.now())
        log.info("key_revoked", key=key, tenant_id=tenant_id)
        return revoked

    def rotate(self, tenant_id: str, key: KeyId, grace: timedelta) -> NewKey:
        """Make a key that opens the same for as long, and let the old one end after ``grace``.

        Raises:
            NotFound: The tenant has no such key.
            InputError: The key has ended: there is nothing to take over from.
        """
        now, old = self.clock.now(), self.keys.load_key(tenant_id, key)
        ended = old.ended(now)
        if ended is not None:
            raise InputError("key", f"{ended}; make a new one with `memstill keys create`")
        lifetime = old.expires_at - old.created_at if old.expires_at else None
        expires_at = _end_of(now, lifetime)
        made, stored = _make(replace(old, created_at=now, expires_at=expires_at, last_used_at=None))
        self.keys.replace_key(key, stored, _end_of(now, grace) or now)
        log.info("key_rotated", key=key, successor=made.key.id, tenant_id=tenant_id)
        return made


@dataclass(frozen=True, slots=True)
class CheckKey:
    """Tells what a key opens; what was found is remembered for moments, and not in clear."""

    keys: KeyStore
    clock: Clock
    policy: KeyPolicy
    _known: dict[bytes, tuple[ApiKey, datetime]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def run(self, text: str) -> ApiKey:
        """Find the key that was sent.

        Raises:
            KeyRefused: It is none, unknown, expired or revoked.
        """
        # Before it is looked up: what is remembered is never older than it seems.
        now = self.clock.now()
        place = hashlib.sha256(text.encode("utf-8", "replace")).digest()
        key = self._recall(place, now) or self._find(place, text, now)
        ended = key.ended(now)
        if ended is not None:
            raise KeyRefused(f"holds a key that {ended}; use another one")
        return key

    def _find(self, place: bytes, text: str, now: datetime) -> ApiKey:
        parts = read_key(text)
        stored = None if parts is None else self.keys.find_key(parts.id)
        digest = None if stored is None else stored.digest
        if not is_secret(parts.secret if parts else text, digest) or stored is None:
            raise KeyRefused(UNKNOWN)
        if stored.key.ended(now) is None:
            self.keys.note_use(stored.key, now, self.policy.use_noted_every)
            self._remember(place, stored.key, now)
        return stored.key

    def _recall(self, place: bytes, now: datetime) -> ApiKey | None:
        with self._lock:
            key, seen_at = self._known.get(place, (None, now))
        # A clock that was set back makes nothing younger.
        return key if timedelta() <= now - seen_at < self.policy.cached_for else None

    def _remember(self, place: bytes, key: ApiKey, now: datetime) -> None:
        with self._lock:
            self._known.pop(place, None)
            while len(self._known) >= self.policy.max_cached:
                del self._known[next(iter(self._known))]
            self._known[place] = (key, now)


def _make(key: ApiKey) -> tuple[NewKey, StoredKey]:
    secret = secrets.token_urlsafe(SECRET_BYTES)
    named = replace(key, id=KeyId(secrets.token_hex(ID_BYTES)))
    return NewKey(named, spell_key(named.id, secret)), StoredKey(named, hash_secret(secret))


def _end_of(now: datetime, span: timedelta | None) -> datetime | None:
    try:
        return None if span is None else now + span
    except OverflowError:
        raise InputError(
            "expires-in", "is too far ahead; leave it out for a key without end"
        ) from None


def _check_names(**names: str | None) -> None:
    for place, name in names.items():
        if name is not None and not _NAME.fullmatch(name):
            raise InputError(place, "must be 1 to 200 characters, none of them a control character")
    secret = find_secret_id(**names)
    if secret is not None:
        raise InputError(secret, "holds a key or a password; choose a name that opens nothing")
