"""API keys: how one is spelled, what it opens, and whether a secret is the right one.

A key is shown once, as ``memstill_<id>_<secret>``. Of the secret only its SHA-256 is kept. That
is enough here, and would not be for a password: the secret is 32 random bytes, so there is no
list of likely ones to try, and nothing that a slow hash with a salt could make dearer.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple, NewType

if TYPE_CHECKING:
    from datetime import datetime

KeyId = NewType("KeyId", str)

ID_BYTES = 8
SECRET_BYTES = 32
# What an unknown id is compared with: of no secret anybody can have.
_NOBODYS = bytes(hashlib.sha256().digest_size)
_SPELLING = re.compile(r"memstill_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)


class KeyScope(StrEnum):
    """What a key may be used for; none of them implies another.

    ``operate`` is about the whole installation, whosesoever the key is.
    """

    WRITE = "write"
    READ = "read"
    ADMIN = "admin"
    OPERATE = "operate"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What a key opens; nothing in it opens anything.

    Attributes:
        id: Random; the part of the key that may be shown and logged.
        user_id: The only user it acts for; None where it is all of the tenant.
        expires_at: From then on it opens nothing; None where it has no end.
        last_used_at: Up to a minute behind.
    """

    id: KeyId
    tenant_id: str
    name: str
    scopes: frozenset[KeyScope]
    created_at: datetime
    user_id: str | None = None
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def ended(self, now: datetime) -> str | None:
        """Why it opens nothing any more; None while it does."""
        if self.revoked_at is not None:
            return "was revoked"
        if self.expires_at is not None and self.expires_at <= now:
            return "has expired"
        return None


class KeyParts(NamedTuple):
    """A key as it was sent, taken apart."""

    id: KeyId
    secret: str


def spell_key(key: KeyId, secret: str) -> str:
    """The key as its holder keeps it."""
    return f"memstill_{key}_{secret}"


def read_key(text: str) -> KeyParts | None:
    """Take a key apart; None if it never was one."""
    found = _SPELLING.fullmatch(text)
    return None if found is None else KeyParts(KeyId(found[1]), found[2])


def hash_secret(secret: str) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def is_secret(secret: str, stored: bytes | None) -> bool:
    """Whether it is the one that was stored; where none was, it takes as long to say no."""
    is_same = hmac.compare_digest(hash_secret(secret), _NOBODYS if stored is None else stored)
    return is_same and stored is not None
