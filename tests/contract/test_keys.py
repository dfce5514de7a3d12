"""The store of keys keeps its contract, in memory and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from pipelines.adapters.postgres import Database, PostgresKeys
from pipelines.errors import NotFound
from pipelines.ports import StoredKey
from pipelines.stages.keys import ApiKey, KeyId, KeyScope, hash_secret
from pipelines.testing.keys import InMemoryKeys
from tests.builders import START, day

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.ports import KeyStore

MINUTE = timedelta(minutes=1)
NOBODYS = KeyId("nobodys")


def a_key(name: str = "k1", **changes: object) -> StoredKey:
    key = ApiKey(KeyId(name), "acme", "bot", frozenset({KeyScope.READ, KeyScope.WRITE}), START)
    return StoredKey(replace(key, **changes), hash_secret(name))  # type: ignore[arg-type]


@pytest.fixture(params=["memory", "postgres"])
def keys(request: pytest.FixtureRequest) -> Iterator[KeyStore]:
    if request.param == "memory":
        yield InMemoryKeys()
        return
    database = Database(request.getfixturevalue("database_url"))
    yield PostgresKeys(database)
    database.close()


def test_key_is_found_as_it_was_kept(keys: KeyStore) -> None:
    """With its hash by whoever checks it, without by whoever manages it."""
    full = a_key("k1", user_id="alice", expires_at=day(9), revoked_at=day(2), last_used_at=day(1))
    for stored in (full, a_key("k2")):
        keys.add_key(stored)

        assert stored == keys.find_key(stored.key.id)
        assert stored.key == keys.load_key("acme", stored.key.id)
    assert keys.find_key(NOBODYS) is None


def test_keys_are_listed_for_their_tenant_alone_and_the_oldest_first(keys: KeyStore) -> None:
    """Those that have ended, too."""
    for stored in (
        a_key("k3", created_at=day(3)),
        a_key("k1", revoked_at=day(1)),
        a_key("k2", created_at=day(3)),
        a_key("k4", tenant_id="other"),
    ):
        keys.add_key(stored)

    assert ["k1", "k2", "k3"] == [key.id for key in keys.list_keys("acme")]
    assert [] == keys.list_keys("nobody")


def test_revoked_key_keeps_the_moment_of_the_first_time(keys: KeyStore) -> None:
    """Revoking again changes nothing."""
    keys.add_key(a_key())

    first = keys.revoke_key("acme", KeyId("k1"), day(1))
    again = keys.revoke_key("acme", KeyId("k1"), day(2))

    assert day(1) == first.revoked_at
    assert first == again == keys.load_key("acme", KeyId("k1"))


@pytest.mark.parametrize("expires_at", [None, day(1), day(9)], ids=["never", "before", "after"])
def test_replaced_key_ends_at_the_latest_when_it_is_told(
    keys: KeyStore, expires_at: object
) -> None:
    """An earlier end of its own stays, and the new key stands beside it."""
    keys.add_key(a_key(expires_at=expires_at))

    keys.replace_key(KeyId("k1"), a_key("k2"), day(2))

    ends = day(1) if expires_at == day(1) else day(2)
    assert ends == keys.load_key("acme", KeyId("k1")).expires_at
    assert a_key("k2") == keys.find_key(KeyId("k2"))


def test_key_of_another_tenant_is_changed_by_nobody(keys: KeyStore) -> None:
    """It is answered like one that is not there, and nothing is written."""
    keys.add_key(a_key())
    for tenant_id, key in (("other", KeyId("k1")), ("acme", NOBODYS)):
        with pytest.raises(NotFound):
            keys.load_key(tenant_id, key)
        with pytest.raises(NotFound):
            keys.revoke_key(tenant_id, key, day(1))
        with pytest.raises(NotFound):
            keys.replace_key(key, a_key("k2", tenant_id=tenant_id), day(1))

    assert a_key() == keys.find_key(KeyId("k1"))
    assert keys.find_key(KeyId("k2")) is None


def test_revoked_key_is_not_replaced(keys: KeyStore) -> None:
    """Whoever revokes while another rotates has the last word."""
    keys.add_key(a_key(revoked_at=day(1)))

    with pytest.raises(NotFound):
        keys.replace_key(KeyId("k1"), a_key("k2"), day(2))

    assert keys.find_key(KeyId("k2")) is None


def test_use_is_written_unless_it_was_a_moment_ago(keys: KeyStore) -> None:
    """Also by somebody who does not know of it yet."""
    unused = a_key().key
    keys.add_key(a_key())

    for seconds in (0, 30, 59, 60, 61):
        keys.note_use(unused, START + timedelta(seconds=seconds), MINUTE)

    assert START + MINUTE == keys.load_key("acme", KeyId("k1")).last_used_at
