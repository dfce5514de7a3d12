"""Keys are handed out once, end when they shall, and are remembered for moments."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from config.access import KeyPolicy
from pipelines.errors import InputError, KeyRefused, NotFound
from pipelines.flows.keys import CheckKey, ManageKeys, NewKey
from pipelines.stages.keys import KeyId, KeyScope, hash_secret, read_key, spell_key
from pipelines.testing.keys import InMemoryKeys
from pipelines.testing.surroundings import ManualClock
from tests.builders import START

POLICY = KeyPolicy(max_cached=3)
READ = [KeyScope.READ]


@dataclass
class Desk:
    """Where keys are made, and where they are shown."""

    store: InMemoryKeys = field(default_factory=InMemoryKeys)
    clock: ManualClock = field(default_factory=lambda: ManualClock(START))

    def __post_init__(self) -> None:
        self.manage = ManageKeys(self.store, self.clock)
        self.check = CheckKey(self.store, self.clock, POLICY)

    def make(self, lifetime: timedelta | None = None) -> NewKey:
        return self.manage.create("acme", "bot", READ, user_id="alice", lifetime=lifetime)

    def is_taken(self, text: str) -> bool:
        try:
            self.check.run(text)
        except KeyRefused:
            return False
        return True


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_new_key_opens_what_it_was_made_for(desk: Desk) -> None:
    """Tenant, user and scopes come from the key alone."""
    made = desk.make()

    found = desk.check.run(made.text)

    assert ("acme", "alice", frozenset(READ)) == (found.tenant_id, found.user_id, found.scopes)


def test_secret_is_long_random_and_stored_as_its_hash(desk: Desk) -> None:
    """Of 32 bytes only the SHA-256 is kept, and no ``repr`` shows them."""
    one, other = desk.make(), desk.make()
    parts = read_key(one.text)
    assert parts is not None
    stored = desk.store.find_key(parts.id)
    assert stored is not None

    assert 32 == len(base64.urlsafe_b64decode(parts.secret + "="))
    assert hash_secret(parts.secret) == stored.digest
    assert one.key.id != other.key.id
    assert one.text not in f"{one!r} {stored!r} {desk.check!r}"
    assert parts.secret not in f"{one!r} {stored!r}"


def test_key_is_refused_when_its_secret_is_anothers(desk: Desk) -> None:
    """The id of one key with the secret of another is answered like an id that nobody has."""
    mine, other = read_key(desk.make().text), read_key(desk.make().text)
    assert mine
    assert other

    answers = []
    for text in (spell_key(mine.id, other.secret), spell_key(KeyId("0" * 16), other.secret), "x"):
        with pytest.raises(KeyRefused) as caught:
            desk.check.run(text)
        answers.append(str(caught.value))

    assert 1 == len(set(answers))


def test_revoked_key_is_refused_as_soon_as_nobody_remembers_it(desk: Desk) -> None:
    """Within the time of the cache, and at once where it was not cached."""
    made = desk.make()
    assert desk.is_taken(made.text)

    desk.manage.revoke("acme", made.key.id)
    desk.clock.advance(POLICY.cached_for)

    assert not desk.is_taken(made.text)
    assert not Desk(desk.store, desk.clock).is_taken(made.text)


def test_remembered_key_is_not_remembered_longer_when_it_is_used(desk: Desk) -> None:
    """A caller who never pauses does not keep a revoked key alive."""
    made = desk.make()
    desk.check.run(made.text)
    desk.manage.revoke("acme", made.key.id)

    tries = 0
    while desk.is_taken(made.text):
        desk.clock.advance(POLICY.cached_for / 4)
        tries += 1

    assert 4 == tries


def test_remembered_key_ends_with_its_time(desk: Desk) -> None:
    """Expiry is looked at on each request, remembered or not."""
    made = desk.make(lifetime=POLICY.cached_for / 2)
    assert desk.is_taken(made.text)

    desk.clock.advance(POLICY.cached_for / 2)

    assert not desk.is_taken(made.text)


def test_store_is_asked_once_while_a_key_is_remembered(desk: Desk) -> None:
    """And memory stays bounded, however many keys and inventions are shown."""
    made = [desk.make() for _ in range(10)]
    for item in made:
        desk.check.run(item.text)
    asked = desk.store.found

    desk.check.run(made[-1].text)

    assert asked == desk.store.found
    for number in range(100):
        assert not desk.is_taken(f"memstill_{number:016x}_{'a' * 43}")
    assert POLICY.max_cached == len(desk.check._known)


def test_clock_set_back_keeps_no_key_alive(desk: Desk) -> None:
    """What was seen in the future is looked up again."""
    made = desk.make()
    desk.check.run(made.text)
    desk.manage.revoke("acme", made.key.id)

    desk.clock.advance(-timedelta(hours=1))

    assert not desk.is_taken(made.text)


def test_use_is_written_once_a_minute(desk: Desk) -> None:
    """However often a key is used."""
    made = desk.make()
    for _ in range(120):
        desk.check.run(made.text)
        desk.clock.advance(timedelta(seconds=1))

    assert 2 == desk.store.noted


def test_rotated_key_lives_on_beside_its_successor_for_the_grace(desk: Desk) -> None:
    """Both open the same; then only the new one, for as long as the old one was made for."""
    old = desk.make(lifetime=timedelta(days=90))
    desk.clock.advance(timedelta(days=80))

    new = desk.manage.rotate("acme", old.key.id, timedelta(hours=1))

    assert desk.is_taken(old.text)
    assert desk.is_taken(new.text)
    assert (old.key.user_id, old.key.scopes) == (new.key.user_id, new.key.scopes)
    desk.clock.advance(timedelta(hours=1))
    assert not desk.is_taken(old.text)
    desk.clock.advance(timedelta(days=80))
    assert desk.is_taken(new.text)


def test_key_is_not_rotated_when_it_has_ended(desk: Desk) -> None:
    """There is nobody to change over in peace; a new one is a decision of its own."""
    revoked, expired = desk.make(), desk.make(lifetime=timedelta(hours=1))
    desk.manage.revoke("acme", revoked.key.id)
    desk.clock.advance(timedelta(hours=1))

    for item in (revoked, expired):
        with pytest.raises(InputError):
            desk.manage.rotate("acme", item.key.id, timedelta())


def test_key_of_another_tenant_is_answered_as_one_that_is_not(desk: Desk) -> None:
    """Neither revoked nor rotated, and not told from an invention."""
    made = desk.make()
    nobodys = KeyId("0" * 16)

    def rotate(tenant_id: str, key: KeyId) -> object:
        return desk.manage.rotate(tenant_id, key, timedelta())

    for act in (desk.manage.revoke, rotate):
        told = []
        for key in (made.key.id, nobodys):
            with pytest.raises(NotFound) as caught:
                act("other", key)
            told.append(str(caught.value).replace(key, "ID"))
        assert told[0] == told[1]
    assert desk.is_taken(made.text)


@pytest.mark.parametrize(
    ("changes", "field_name"),
    [
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"tenant_id": "acme\x1fshadow"}, "tenant_id"),
        ({"user_id": " "}, "user_id"),
        ({"user_id": "sk-proj-" + "a1B2" * 12}, "user_id"),
        ({"scopes": []}, "scope"),
        ({"lifetime": timedelta.max}, "expires-in"),
    ],
    ids=["empty", "lines", "long", "shadow", "blank", "secret", "no-scope", "for-ever"],
)
def test_key_is_refused_when_it_is_named_or_bounded_senselessly(
    desk: Desk, changes: dict[str, object], field_name: str
) -> None:
    """The field is named, and nothing is kept."""
    wanted: dict[str, object] = {"tenant_id": "acme", "name": "bot", "scopes": READ}
    with pytest.raises(InputError) as caught:
        desk.manage.create(**(wanted | changes))  # type: ignore[arg-type]

    assert field_name == caught.value.field
    assert [] == desk.store.list_keys("acme")


def test_logs_name_keys_by_their_id_alone(desk: Desk) -> None:
    """Making, rotating and revoking leave ids behind, no secret."""
    with capture_logs() as logs:
        made = desk.make()
        new = desk.manage.rotate("acme", made.key.id, timedelta())
        desk.manage.revoke("acme", new.key.id)

    assert ["key_created", "key_rotated", "key_revoked"] == [line["event"] for line in logs]
    for text in (made.text, new.text):
        parts = read_key(text)
        assert parts is not None
        assert parts.secret not in str(logs)
