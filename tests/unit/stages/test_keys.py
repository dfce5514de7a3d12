"""How a key is spelled, and when a secret is the right one."""

from __future__ import annotations

import string
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.keys import (
    ApiKey,
    KeyId,
    KeyScope,
    hash_secret,
    is_secret,
    read_key,
    spell_key,
)
from pipelines.stages.redaction.redact import redact
from tests.builders import START

ID = KeyId("0123456789abcdef")
ALPHABET = string.ascii_letters + string.digits + "-_"
SECRET = "-_" + "a" * 41
KEY = ApiKey(ID, "acme", "bot", frozenset(KeyScope), START)


@given(
    st.text("0123456789abcdef", min_size=16, max_size=16),
    st.text(ALPHABET, min_size=43, max_size=43),
)
def test_key_is_read_as_it_was_spelled(key: str, secret: str) -> None:
    """Also where the secret holds the sign that parts it from the id."""
    parts = read_key(spell_key(KeyId(key), secret))

    assert parts == (key, secret)


@pytest.mark.parametrize(
    "text",
    [
        "",
        SECRET,
        f"memstill_{ID}",
        f"memstill_{ID}_{SECRET}\n",
        f"memstill_{ID}_{SECRET}x",
        f"memstill_{ID[:-1]}_{SECRET}",
        f"memstill_{ID[:-1]}\u0665_{SECRET}",
        f" memstill_{ID}_{SECRET}",
    ],
    ids=["empty", "secret", "no-secret", "line-break", "longer", "short-id", "arabic", "blank"],
)
def test_key_is_none_when_it_is_spelled_otherwise(text: str) -> None:
    """Nothing around it, nothing missing, no other letters."""
    assert read_key(text) is None


def test_secret_is_right_only_where_it_was_stored() -> None:
    """Another one, and any one where nothing was stored, is wrong."""
    stored = hash_secret(SECRET)

    assert is_secret(SECRET, stored)
    assert not is_secret(SECRET[::-1], stored)
    assert not is_secret(SECRET, None)


def test_key_ends_when_it_is_revoked_or_its_time_is_over() -> None:
    """The moment of its end is no longer within it."""
    limited = replace(KEY, expires_at=START + timedelta(days=1))

    assert KEY.ended(START) is None
    assert limited.ended(START) is None
    assert "has expired" == limited.ended(START + timedelta(days=1))
    assert "was revoked" == replace(limited, revoked_at=START).ended(START + timedelta(days=1))


def test_key_in_a_conversation_is_redacted() -> None:
    """Ours is a secret like those of others."""
    found = redact(f"use {spell_key(ID, SECRET)} for the memory")

    assert "use [redacted:api-key] for the memory" == found.text
