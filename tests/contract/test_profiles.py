"""Profiles: whoever writes them, their entries follow."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from config.retrieval import PassagePolicy
from pipelines.adapters.postgres import (
    Database,
    PostgresErasures,
    PostgresIndexTruth,
    PostgresOutbox,
    PostgresProfiles,
    PostgresWorkTable,
)
from pipelines.errors import ErasedMeanwhile, InputError, ModelRefused, ModelUnavailable
from pipelines.flows.profiles import EmbeddingOutbox
from pipelines.flows.project import Project
from pipelines.model import Kind, MemoryId, Owner
from pipelines.ports import Erasure, ErasureId, ErasureState, Subject
from pipelines.stages.profile import Section
from pipelines.testing.index import InMemoryIndex
from pipelines.testing.surroundings import ManualClock
from tests.builders import ALICE, BOB, START, vector_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipelines.model import Vector

PREFERENCES = Section.PREFERENCES
# What triggers write has the time of the server.
LATER = datetime(2100, 1, 1, tzinfo=UTC)


class Words:
    """An embedder that may be away, or refuse a text."""

    model = "words"
    size = 16

    def __init__(self) -> None:
        self.is_away = False
        self.refused = ""

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        if self.is_away:
            raise ModelUnavailable("away")
        if self.refused and any(self.refused in told for told in texts):
            raise ModelRefused("no")
        return [vector_of(told) for told in texts]


class World:
    """A database with an index behind it."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, pool_size=5)
        self.profiles = PostgresProfiles(self.database)
        self.truth = PostgresIndexTruth(self.database)
        self.work = PostgresWorkTable(self.database)
        self.embedder = Words()
        self.index = InMemoryIndex()
        self.index.prepare()
        clock = ManualClock(LATER)
        inner = PostgresOutbox(self.database, PassagePolicy())
        outbox = EmbeddingOutbox(inner, self.profiles, self.embedder, clock)
        self.outbox = outbox
        self.project = Project(outbox, self.index, clock)

    def write(self, statement: str, **values: str) -> None:
        """As any program would: past all of memstill's code."""
        with self.database.transaction() as connection:
            connection.execute(text(statement), values)

    def told(self, owner: Owner = ALICE) -> set[str]:
        """What stands behind the points of an owner."""
        self.project.run()
        keys = [point.memory_id for point in self.index.scan(None, 100) if point.owner == owner]
        return {memory.statement for memory in self.profiles.load_entries(owner, keys)}

    def expected(self) -> list[tuple[MemoryId, int]]:
        return [
            (item.memory_id, item.version)
            for item in self.truth.list_expected(None, 100)
            if item.is_indexed
        ]

    def indexed(self) -> list[tuple[MemoryId, int]]:
        return [(point.memory_id, point.version) for point in self.index.scan(None, 100)]

    def is_due(self) -> bool:
        return self.work.find_due(LATER, 10).has_unprojected


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    opened = World(database_url)
    yield opened
    opened.database.close()


INSERT = (
    "INSERT INTO user_profiles (tenant_id, user_id, preferences, learned) "
    "VALUES ('acme', 'alice', CAST(:preferences AS jsonb), CAST(:learned AS jsonb))"
)


def test_change_by_any_program_reaches_the_index(world: World) -> None:
    """A new key, another value, a key that is gone, the whole profile: the points follow."""
    assert not world.is_due()
    world.write(INSERT, preferences='{"colour": "blue", "tone": "dry"}', learned='{"pets": 2}')
    assert world.is_due()
    assert {"User's colour: blue", "User's tone: dry", "User's pets: 2"} == world.told()
    assert not world.is_due()
    assert set() == world.told(BOB)

    world.write(
        "UPDATE user_profiles"
        " SET preferences = jsonb_set(preferences, '{colour}', '\"red\"') - 'tone'"
    )
    assert {"User's colour: red", "User's pets: 2"} == world.told()
    assert world.expected() == world.indexed()
    assert len(world.expected()) == world.truth.count()

    world.write("UPDATE user_profiles SET user_id = 'bob'")
    assert (set(), {"User's colour: red", "User's pets: 2"}) == (world.told(), world.told(BOB))
    world.write("DELETE FROM user_profiles")
    assert set() == world.told(BOB)
    assert [] == world.indexed() == world.expected()
    assert not world.is_due()


def test_write_that_changes_one_entry_takes_one_number(world: World) -> None:
    """Large profiles that are written often would have used them all up within weeks."""
    world.write(INSERT, preferences='{"colour": "blue", "tone": "dry"}', learned='{"pets": 2}')

    for colour in ("red", "green", "green"):
        world.write(
            "UPDATE user_profiles SET updated_at = now(),"
            " preferences = jsonb_set(preferences, '{colour}', CAST(:colour AS jsonb))",
            colour=f'"{colour}"',
        )

    with world.database.transaction() as connection:
        taken = connection.execute(text("SELECT last_value FROM profile_versions")).scalar_one()
    assert 3 + 2 == taken
    assert "User's colour: green" in world.told()


def test_entry_that_is_made_anew_replaces_what_it_was(world: World) -> None:
    """Its version is higher than it ever was, although its row is another one."""
    world.write(INSERT, preferences='{"colour": "blue"}', learned="{}")
    world.told()
    before = world.indexed()
    world.write("DELETE FROM user_profiles")
    world.write(INSERT, preferences='{"colour": "green"}', learned="{}")

    assert {"User's colour: green"} == world.told()
    assert [key for key, _ in before] == [key for key, _ in world.indexed()]
    assert before < world.indexed()


def test_profile_is_patched_where_its_version_stands(world: World) -> None:
    """Null takes a key away; who read another version is refused; others' writes count, too."""
    assert 0 == world.profiles.find_profile(ALICE).version
    one = world.profiles.patch_profile(
        ALICE, {PREFERENCES: {"tone": "dry", "ui": {"dark": True}}}, 0, LATER
    )
    world.write("UPDATE user_profiles SET learned = CAST(:body AS jsonb)", body='{"a": 1}')
    with pytest.raises(InputError, match="version: is 2 by now"):
        world.profiles.patch_profile(ALICE, {PREFERENCES: {"tone": "warm"}}, one.version, LATER)

    two = world.profiles.patch_profile(
        ALICE, {PREFERENCES: {"tone": None, "ui": {"size": 2}}}, one.version + 1, LATER
    )
    same = world.profiles.patch_profile(ALICE, {PREFERENCES: {"tone": None}}, None, LATER)

    bodies = {PREFERENCES: {"ui": {"dark": True, "size": 2}}, Section.LEARNED: {"a": 1}}
    assert (3, bodies) == (two.version, two.sections)
    assert two == same
    assert 0 == world.profiles.find_profile(BOB).version
    assert 0 == world.profiles.find_profile(Owner("other", "alice")).version


def test_number_that_becomes_a_truth_is_a_change(world: World) -> None:
    """For Python they are equal, for whoever reads the profile they are not."""
    world.profiles.patch_profile(ALICE, {PREFERENCES: {"dark": 1}}, None, LATER)

    found = world.profiles.patch_profile(ALICE, {PREFERENCES: {"dark": True}}, None, LATER)

    assert found.sections[PREFERENCES]["dark"] is True


def test_two_who_make_the_first_profile_lose_nothing_of_each_other(world: World) -> None:
    """The second waits for the first and merges; one that expects none is refused."""
    changes: list[tuple[dict[str, Any], int | None]] = [
        ({"tone": "dry"}, None),
        ({"colour": "blue"}, None),
        ({"size": 2}, 0),
    ]
    refused: list[InputError] = []

    def patch(change: dict[str, Any], version: int | None) -> None:
        try:
            world.profiles.patch_profile(ALICE, {PREFERENCES: change}, version, LATER)
        except InputError as error:
            refused.append(error)

    with world.database.transaction() as connection:
        connection.execute(text(INSERT), {"preferences": '{"ui": 1}', "learned": "{}"})
        with ThreadPoolExecutor(len(changes)) as executor:
            running = [executor.submit(patch, *change) for change in changes]
            # They have found no profile, and wait for this one.
            wait(running, timeout=0.5)
            connection.commit()

    assert [None] * len(changes) == [future.result() for future in running]
    assert ["version"] == [error.field for error in refused]
    assert {"ui": 1, "tone": "dry", "colour": "blue"} == world.profiles.find_profile(
        ALICE
    ).sections[PREFERENCES]


def test_what_is_no_profile_is_refused(world: World) -> None:
    """Too many keys or bytes, a blank key, or no object, whoever sends it."""
    for patch in (
        {str(number): 1 for number in range(201)},
        {" ": 1},
        {"k" * 201: 1},
        {"k": "x" * 70_000},
    ):
        with pytest.raises(InputError, match="preferences"):
            world.profiles.patch_profile(ALICE, {PREFERENCES: patch}, None, LATER)
    with pytest.raises(Exception, match="CheckViolation"):
        world.write(INSERT, preferences="[]", learned="{}")
    assert 0 == world.profiles.find_profile(ALICE).version


def test_embedder_that_is_away_or_refuses_holds_up_nobody(world: World) -> None:
    """What could not be embedded waits; what is refused is found by what it is about."""
    world.write(INSERT, preferences='{"colour": "blue", "odd": "cursed"}', learned="{}")
    world.embedder.is_away = True
    assert set() == world.told()
    assert world.is_due()
    world.embedder.is_away, world.embedder.refused = False, "cursed"

    assert {"User's colour: blue", "User's odd: cursed"} == world.told()
    assert not world.is_due()
    world.write("UPDATE user_profiles SET learned = CAST(:body AS jsonb)", body='{"a": 1}')
    world.embedder.refused = "User's"
    assert 2 == len(world.told())
    assert world.is_due()


def test_index_that_lost_its_points_gets_them_again(world: World) -> None:
    """A refill names entries beside memories, and so does a repair of one of them."""
    world.write(INSERT, preferences='{"colour": "blue"}', learned="{}")
    world.told()
    (key,) = [key for key, _ in world.indexed()]
    world.index.remove_owner(ALICE)

    assert 1 == world.outbox.refill(LATER)
    assert {"User's colour: blue"} == world.told()
    world.index.remove_owner(ALICE)
    assert 1 == world.truth.enqueue({key: ALICE}, LATER)
    assert {"User's colour: blue"} == world.told()


def test_entry_is_told_with_its_place_in_the_profile(world: World) -> None:
    """As a memory of the kind profile, without secrets, and to its owner alone."""
    token = "ghp_" + "a1B2c3D4" * 5
    world.write(INSERT, preferences="{}", learned=f'{{"home_city": "Porto", "key": "{token}"}}')
    world.told()
    keys = [key for key, _ in world.indexed()]

    found = {memory.statement: memory for memory in world.profiles.load_entries(ALICE, keys)}

    city = found["User's home city: Porto"]
    assert (Kind.PROFILE, "profile", "learned.home_city", "Porto") == (
        city.kind,
        city.session_id,
        city.evidence[0].message_id,
        city.evidence[0].quote,
    )
    assert city.valid_from - datetime.now(UTC) < timedelta(minutes=1)
    assert token not in repr(found)
    assert [] == world.profiles.load_entries(BOB, keys)
    assert [] == world.profiles.load_entries(ALICE, [MemoryId(uuid.uuid4())])


def test_program_without_rights_to_entries_can_write_profiles(world: World) -> None:
    """The trigger works with the rights of who migrated, in no tables of the caller's."""
    name = f"app_{uuid.uuid4().hex[:8]}"
    with world.database.transaction() as connection:
        connection.execute(text(f"CREATE ROLE {name}"))
        connection.execute(text(f"GRANT SELECT, INSERT, UPDATE ON user_profiles TO {name}"))
        connection.execute(text(f"CREATE POLICY app ON user_profiles TO {name} USING (true)"))
    with world.database.transaction() as connection:
        connection.execute(text(f"SET LOCAL ROLE {name}"))
        connection.execute(text("CREATE TEMP TABLE profile_entries (id uuid) ON COMMIT DROP"))
        values: dict[str, Any] = {"preferences": '{"colour": "blue"}', "learned": "{}"}
        connection.execute(text(INSERT), values)

    assert {"User's colour: blue"} == world.told()
    with world.database.transaction() as connection:
        connection.execute(text(f"DROP OWNED BY {name}"))
        connection.execute(text(f"DROP ROLE {name}"))


def test_patch_that_was_under_way_does_not_outlive_an_erasure(world: World) -> None:
    """What is sent later is new, and so is what belongs to another user."""
    at = START + timedelta(days=1)
    subject = Subject(ALICE)
    erasure = Erasure(
        ErasureId(uuid.uuid4()), "acme", subject.key, subject, ErasureState.PURGING, at, "x", at, at
    )
    PostgresErasures(world.database).begin(erasure, timedelta(hours=1))

    with pytest.raises(ErasedMeanwhile):
        world.profiles.patch_profile(ALICE, {PREFERENCES: {"tone": "dry"}}, None, START)
    assert 0 == world.profiles.find_profile(ALICE).version
    for owner, began_at in ((ALICE, LATER), (BOB, START)):
        found = world.profiles.patch_profile(owner, {PREFERENCES: {"tone": "dry"}}, None, began_at)
        assert 1 == found.version
