"""Uses, decay, purging and legal holds keep their contracts, in memory and on PostgreSQL."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from redis import Redis
from sqlalchemy import text

from config.decay import DecayPolicy
from pipelines.adapters.postgres import Database, PostgresMemoryStore
from pipelines.adapters.postgres.decay import PostgresFading
from pipelines.adapters.postgres.legal_holds import PostgresHolds
from pipelines.adapters.postgres.pins import PostgresPins
from pipelines.adapters.postgres.use_rows import add_uses
from pipelines.adapters.postgres.uses import PostgresUses
from pipelines.adapters.redis_uses import RedisUses
from pipelines.errors import InputError, NotFound
from pipelines.model import (
    EVERYONE,
    SHADOW,
    Kind,
    Memory,
    MemoryId,
    MemoryState,
    Owner,
    Scope,
)
from pipelines.plan import Insert, Plan, Reinforce, Supersede
from pipelines.ports import CountedUses, HoldId, LegalHold
from pipelines.stages.decay import Use, has_faded, strength_of
from pipelines.testing.lifecycle import (
    InMemoryFading,
    InMemoryHolds,
    InMemoryPins,
    InMemoryUseCounter,
)
from pipelines.testing.stores import InMemoryStores
from tests.builders import ALICE, BOB, START, day, make_evidence, make_fact, make_memory

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pipelines.plan import Change
    from pipelines.ports import (
        FadingStore,
        HoldStore,
        MemoryStore,
        PinStore,
        UseCounter,
        UseStore,
    )

LEASE = timedelta(minutes=5)
POLICY = DecayPolicy()
FADED = day(100)


@dataclass(frozen=True, slots=True)
class World:
    """All ports over the same memories."""

    memories: MemoryStore
    fading: FadingStore
    uses: UseStore
    pins: PinStore
    holds: HoldStore

    def commit(self, *changes: Change, at: datetime = START) -> None:
        owner = changes[0].memory.owner
        self.memories.mark_owner_due(owner, at)
        claim = self.memories.claim_owner(owner, at, LEASE)
        assert claim is not None
        read = {
            change.memory.id: change.memory.version - 1
            for change in changes
            if change.memory.version > 1
        }
        self.memories.commit_plan(claim, Plan(changes, read), at)
        self.memories.release_owner(claim, None, at)

    def insert(self, *memories: Memory, at: datetime = START) -> None:
        for memory in memories:
            self.commit(Insert(memory), at=at)

    def load(self, memory: Memory) -> Memory:
        return self.memories.find_memory(memory.owner.tenant_id, memory.id)

    def faded(self, now: datetime = FADED, policy: DecayPolicy = POLICY) -> set[MemoryId]:
        found, position = set[MemoryId](), 0
        while True:
            page = self.fading.find_faded(position, now, policy)
            found |= {item.memory_id for item in page.faded}
            if page.position is None:
                return found
            position = page.position

    def evict(self, *memories: Memory, now: datetime = FADED) -> int:
        return self.fading.evict([memory.id for memory in memories], now, POLICY)


@pytest.fixture(params=["memory", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        stores, holds = InMemoryStores(), InMemoryHolds()
        fading = InMemoryFading(stores, holds)
        yield World(stores, fading, fading, InMemoryPins(stores, holds), holds)
        return
    database = Database(request.getfixturevalue("database_url"))
    yield World(
        PostgresMemoryStore(database),
        PostgresFading(database),
        PostgresUses(database),
        PostgresPins(database),
        PostgresHolds(database),
    )
    database.close()


@pytest.fixture(params=["memory", "redis"])
def counter(request: pytest.FixtureRequest) -> Iterator[UseCounter]:
    if request.param == "memory":
        yield InMemoryUseCounter()
        return
    url, prefix = (request.getfixturevalue(name) for name in ("redis_url", "key_prefix"))
    with Redis.from_url(url) as redis:
        yield RedisUses(redis, prefix)


def memory_of(statement: str, owner: Owner = ALICE, **changes: Any) -> Memory:  # noqa: ANN401 - any field
    fact = make_fact(statement, owner=owner, session=statement, kind=Kind.EVENT, importance=0.5)
    return replace(make_memory(fact), **changes)


def counted(batch: str, at: datetime, **uses: int) -> CountedUses:
    keys = {MemoryId(uuid.UUID(name)): count for name, count in uses.items()}
    return CountedUses(batch, keys, dict.fromkeys(keys, at))


def a_hold(owner: Owner = ALICE, reason: str = "case 7") -> LegalHold:
    return LegalHold(HoldId(uuid.uuid4()), owner, reason, START, "counsel")


# ---- counting ------------------------------------------------------------------------------------


def test_uses_are_taken_once_and_stay_until_they_are_dropped(counter: UseCounter) -> None:
    """Whoever asks gets the same ones; what is noted meanwhile comes in the next batch."""
    first, second = (MemoryId(uuid.uuid4()) for _ in range(2))
    assert counter.take() is None

    counter.note([first, second], START)
    counter.note([first], day(1))
    taken = counter.take()
    counter.note([second], day(2))

    assert taken is not None
    assert {first: 2, second: 1} == taken.uses
    assert {first: day(1), second: START} == taken.used_at
    assert taken == counter.take()
    counter.drop(taken.batch)
    counter.drop(taken.batch)
    following = counter.take()
    assert following is not None
    assert {second: 1} == following.uses
    counter.drop(taken.batch)
    assert following == counter.take()


def test_noting_nothing_counts_nothing(counter: UseCounter) -> None:
    """A recall that tells nothing leaves nothing behind."""
    counter.note([], START)

    assert counter.take() is None


def test_batch_of_uses_is_added_once(world: World) -> None:
    """However often it is handed over, also after another one."""
    tea = memory_of("Likes tea.")
    world.insert(tea)

    for batch in ("a", "a", "b", "a"):
        world.uses.add_uses(counted(batch, day(1), **{str(tea.id): 5}), day(1))

    (found,) = world.fading.find_faded(0, day(400), POLICY).faded
    assert 1 + 5 + 5 == found.uses
    assert day(400) - day(1) == found.idle


def test_uses_of_what_is_gone_are_left_out(world: World) -> None:
    """An erased memory is not written down again by whoever used it before."""
    assert 0 == world.uses.add_uses(counted("a", START, **{str(uuid.uuid4()): 1}), START)


def test_evicted_memory_comes_back_when_a_use_from_before_is_written_down(world: World) -> None:
    """Nothing that was used a moment ago stays away."""
    tea = memory_of("Likes tea.")
    world.insert(tea)
    world.evict(tea)

    back = world.uses.add_uses(counted("a", FADED, **{str(tea.id): 1}), FADED)

    assert 1 == back
    assert world.load(tea).evicted_at is None
    assert tea.id not in world.faded(FADED)


# ---- fading --------------------------------------------------------------------------------------


def test_memory_fades_when_it_is_not_used_and_a_use_gives_it_a_new_life(world: World) -> None:
    """Being said again is a use, too."""
    tea, boat, chess = (memory_of(text) for text in ("Likes tea.", "Has a boat.", "Plays chess."))
    world.insert(tea, boat, chess)
    world.uses.add_uses(counted("a", day(90), **{str(boat.id): 1}), day(90))
    again = make_evidence("chess", receipt=chess.evidence[0].transcript_id, at=day(90))
    said_again = replace(chess, evidence=(*chess.evidence, again), version=2)
    world.commit(Reinforce(said_again, (again,)), at=day(90))

    assert set() == world.faded(day(83))
    assert {tea.id} == world.faded(day(100))


def test_faded_memory_says_why(world: World) -> None:
    """Its strength, how long it was idle, its uses and its half-life."""
    tea = memory_of("Likes tea.")
    world.insert(tea)

    (found,) = world.fading.find_faded(0, FADED, POLICY).faded

    assert (ALICE, Kind.EVENT, "Likes tea.") == (found.owner, found.kind, found.statement)
    assert (timedelta(days=100), 1, timedelta(days=30)) == (found.idle, found.uses, found.half_life)
    expected = strength_of(Use(START), Kind.EVENT, 0.5, FADED, POLICY)
    assert pytest.approx(expected, rel=1e-12) == found.strength


@pytest.mark.parametrize(
    "spared",
    [
        memory_of("Likes tea.", pinned=True),
        memory_of("Likes tea.", Owner("acme", EVERYONE), scope=Scope.GLOBAL),
        memory_of("Likes tea.", Owner(f"acme{SHADOW}1", "alice")),
        memory_of("Likes tea.", evicted_at=START),
    ],
    ids=["pinned", "everyone's", "of a generation", "evicted"],
)
def test_what_must_stay_never_fades(world: World, spared: Memory) -> None:
    """However long nobody used it."""
    world.insert(spared)

    assert set() == world.faded(day(9_999))
    assert 0 == world.evict(spared, now=day(9_999))


def test_what_is_held_does_not_fade_until_it_is_released(world: World) -> None:
    """Other users' memories do."""
    tea, boat = memory_of("Likes tea."), memory_of("Has a boat.", BOB)
    world.insert(tea, boat)
    hold = world.holds.place(a_hold())

    assert {boat.id} == world.faded()
    assert 0 == world.evict(tea)
    world.holds.release("acme", hold.id, "counsel", FADED)

    assert {tea.id, boat.id} == world.faded()


def test_eviction_takes_only_what_has_still_faded(world: World) -> None:
    """What was used since it was found stays; evicting twice changes nothing."""
    tea, boat = memory_of("Likes tea."), memory_of("Has a boat.")
    world.insert(tea, boat)
    world.uses.add_uses(counted("a", FADED, **{str(boat.id): 1}), FADED)

    assert 1 == world.evict(tea, boat)
    assert 0 == world.evict(tea, boat)
    assert (FADED, None) == (world.load(tea).evicted_at, world.load(boat).evicted_at)
    assert tea.version + 1 == world.load(tea).version


def test_memory_whose_use_is_written_down_at_this_moment_is_not_evicted(database_url: str) -> None:
    """Who writes it has looked already whether it was evicted."""
    database = Database(database_url)
    fading = PostgresFading(database)
    world = World(
        PostgresMemoryStore(database),
        fading,
        PostgresUses(database),
        PostgresPins(database),
        PostgresHolds(database),
    )
    rome = memory_of("Went to Rome.")
    world.insert(rome)
    world.uses.add_uses(counted("b1", START, **{str(rome.id): 1}), START)

    with database.transaction() as connection:
        add_uses(connection, [rome.id], [1], [FADED])
        assert 0 == fading.evict([rome.id], FADED, replace(POLICY, threshold=0.2))

    assert world.load(rome).evicted_at is None
    assert 0 == fading.evict([rome.id], FADED, replace(POLICY, threshold=0.2))
    assert 1 == fading.evict([rome.id], day(999), POLICY)
    database.close()


def test_eviction_that_has_to_wait_is_left_to_the_next_run(database_url: str) -> None:
    """One of many would have to wait: the others go without it, and it goes the next time."""
    database, dawdling = Database(database_url), Database(database_url)
    store, fading = PostgresMemoryStore(database), PostgresFading(database)
    world = World(
        store, fading, PostgresUses(database), PostgresPins(database), PostgresHolds(database)
    )
    told = [memory_of(f"Went to {place}.") for place in ("Rome", "Oslo", "Turin", "Bern", "Graz")]
    world.insert(*told)
    slow = sorted(memory.id for memory in told)[2]
    keys = [memory.id for memory in told]
    policy = replace(POLICY, lock=timedelta(milliseconds=40))

    with dawdling.transaction() as connection:
        waiting = text("SELECT FROM outbox WHERE memory_id = :slow FOR UPDATE")
        connection.execute(waiting, {"slow": slow})
        assert 4 == fading.evict(keys, FADED, policy)
    assert [slow] == [each.id for each in told if world.load(each).evicted_at is None]
    assert 1 == fading.evict(keys, FADED, policy)

    for each in (database, dawdling):
        each.close()


def test_survey_counts_what_there_is_and_changes_nothing(world: World) -> None:
    """By strength, by kind, what is spared and what is gone; of one tenant."""
    tea, boat = memory_of("Likes tea."), memory_of("Has a boat.", BOB)
    pinned, gone = memory_of("Plays chess.", pinned=True), memory_of("Owns a car.")
    fresh, foreign = memory_of("Runs."), memory_of("Likes tea.", Owner("other", "alice"))
    world.insert(tea, boat, pinned, gone, foreign)
    world.insert(fresh, at=day(99))
    world.evict(gone)

    survey = world.fading.survey(FADED, POLICY, "acme")

    assert {0.05: 3, 0.5: 1} == survey.strengths
    assert ({"event": 2}, 1, 1) == (survey.faded, survey.spared, survey.evicted)
    assert {tea.id, boat.id, foreign.id} == world.faded()


def test_pinned_memory_comes_back_and_an_unpinned_one_fades_again(world: World) -> None:
    """Deciding twice changes nothing."""
    tea = memory_of("Likes tea.")
    world.insert(tea)
    world.evict(tea)

    for _ in range(2):
        world.pins.pin("acme", tea.id, FADED, pinned=True)
    assert (True, None) == (world.load(tea).pinned, world.load(tea).evicted_at)
    assert set() == world.faded(day(999))
    world.pins.pin("acme", tea.id, FADED, pinned=False)
    world.pins.pin("other", tea.id, FADED, pinned=True)

    assert not world.load(tea).pinned
    assert {tea.id} == world.faded(day(999))


def test_evicted_memory_can_be_had_back(world: World) -> None:
    """Another tenant cannot."""
    tea = memory_of("Likes tea.")
    world.insert(tea)
    world.evict(tea)

    world.pins.bring_back("other", tea.id, FADED)
    assert world.load(tea).evicted_at is not None
    world.pins.bring_back("acme", tea.id, FADED)

    assert world.load(tea).evicted_at is None


def test_forgotten_memory_is_told_no_more_whether_pinned_or_not(world: World) -> None:
    """Another tenant cannot have it forgotten; twice is once; it can be had back."""
    tea = memory_of("Likes tea.")
    world.insert(tea)
    world.pins.pin("acme", tea.id, START, pinned=True)

    world.pins.forget("other", tea.id, day(1))
    assert world.load(tea).evicted_at is None
    for at in (day(1), day(2)):
        world.pins.forget("acme", tea.id, at)
    gone = world.load(tea)
    world.pins.bring_back("acme", tea.id, day(3))

    assert (False, day(1)) == (gone.pinned, gone.evicted_at)
    assert world.load(tea).evicted_at is None


def test_use_that_was_counted_before_does_not_bring_a_forgotten_memory_back(world: World) -> None:
    """It does with one that only faded; and with one that was had back and faded since."""
    tea, milk = memory_of("Likes tea."), memory_of("Likes milk.")
    world.insert(tea, milk)
    world.evict(milk)
    world.pins.forget("acme", tea.id, FADED)
    uses = {str(tea.id): 1, str(milk.id): 1}

    assert 1 == world.uses.add_uses(counted("one", day(99), **uses), FADED)
    assert (FADED, None) == (world.load(tea).evicted_at, world.load(milk).evicted_at)

    world.pins.bring_back("acme", tea.id, FADED)
    assert 1 == world.evict(tea, now=day(999))
    assert 1 == world.uses.add_uses(counted("two", day(999), **{str(tea.id): 1}), day(999))


def test_memory_that_faded_can_be_forgotten_too(world: World) -> None:
    """Its grace begins anew, and nothing but a person brings it back."""
    tea = memory_of("Likes tea.")
    world.insert(tea)
    world.evict(tea)

    world.pins.forget("acme", tea.id, day(101))

    assert day(101) == world.load(tea).evicted_at
    assert 0 == world.uses.add_uses(counted("one", day(99), **{str(tea.id): 1}), day(102))


def test_nothing_of_a_held_user_is_forgotten(world: World) -> None:
    """Not before the hold is released."""
    tea = memory_of("Likes tea.")
    world.insert(tea)
    hold = world.holds.place(a_hold())

    with pytest.raises(InputError, match="is under"):
        world.pins.forget("acme", tea.id, FADED)
    assert world.load(tea).evicted_at is None

    world.holds.release("acme", hold.id, "counsel", FADED)
    world.pins.forget("acme", tea.id, FADED)
    assert world.load(tea).evicted_at is not None


def test_holds_are_listed_page_by_page(world: World) -> None:
    """The newest first, those of one moment by their ids; behind what is not there is nothing."""
    placed = [
        world.holds.place(replace(a_hold(reason=f"case {number}"), placed_at=day(number // 2)))
        for number in range(5)
    ]
    ordered = sorted(placed, key=lambda hold: (-hold.placed_at.timestamp(), hold.id))

    first = world.holds.list_holds("acme", 3)
    second = world.holds.list_holds("acme", 3, first[-1].id)

    assert ordered == [*first, *second]
    assert [] == world.holds.list_holds("acme", 3, second[-1].id)
    assert [] == world.holds.list_holds("acme", 3, HoldId(uuid.uuid4()))


# ---- purging -------------------------------------------------------------------------------------


def test_evicted_memory_is_purged_when_its_grace_is_over(world: World) -> None:
    """Not before, not what is pinned since, and not what is held."""
    tea, boat, chess = (
        memory_of(text, owner)
        for text, owner in (("Likes tea.", ALICE), ("Has a boat.", BOB), ("Plays chess.", ALICE))
    )
    world.insert(tea, boat, chess)
    world.evict(tea, boat)
    hold = world.holds.place(a_hold(BOB))

    assert [] == world.fading.find_purgeable(FADED, 10)
    assert [tea.id] == world.fading.find_purgeable(day(101), 10)
    assert 1 == world.fading.purge_memories([tea.id, boat.id, chess.id], day(101))
    with pytest.raises(NotFound):
        world.load(tea)
    world.holds.release("acme", hold.id, "counsel", day(101))

    assert [boat.id] == world.fading.find_purgeable(day(101), 10)
    assert chess.version == world.load(chess).version


def test_what_a_kept_memory_rests_on_is_not_purged_before_it(world: World) -> None:
    """Else the retired one would hold again."""
    old, new = memory_of("Lives in Porto."), memory_of("Lives in Turin.")
    world.insert(new, old)
    retired = replace(
        old, state=MemoryState.SUPERSEDED, valid_to=day(1), superseded_by=new.id, version=2
    )
    world.commit(Supersede(retired))
    world.evict(new, old)

    assert [old.id] == world.fading.find_purgeable(day(101), 10)
    world.fading.purge_memories([old.id], day(101))

    assert [new.id] == world.fading.find_purgeable(day(101), 10)


# ---- legal holds ---------------------------------------------------------------------------------


def test_hold_is_placed_once_for_a_reason_and_released_for_good(world: World) -> None:
    """The newest stands first; another tenant knows of none."""
    first = world.holds.place(a_hold())
    second = world.holds.place(replace(a_hold(reason="case 8"), placed_at=day(1)))

    assert first == world.holds.place(a_hold())
    released = world.holds.release("acme", first.id, "counsel", day(1))
    again = world.holds.release("acme", first.id, "somebody", day(2))

    assert (day(1), "counsel") == (released.released_at, released.released_by)
    assert released == again
    assert [second, released] == world.holds.list_holds("acme", 10)
    assert [] == world.holds.list_holds("other", 10)
    with pytest.raises(NotFound):
        world.holds.release("other", second.id, "counsel", day(1))


# ---- the formula ---------------------------------------------------------------------------------


def test_sql_and_python_find_the_same_strengths(database_url: str) -> None:
    """Whatever kind, importance, uses and times there are, the clock set back included."""
    database, dice = Database(database_url), random.Random(7)
    store, uses = PostgresMemoryStore(database), PostgresUses(database)
    fading = PostgresFading(database)
    now, expected = day(400), dict[MemoryId, float]()
    for number in range(40):
        owner = Owner("acme", f"user {number}")
        written = day(0) + timedelta(days=dice.uniform(-9_000, 410))
        made = [
            memory_of(
                f"Statement {number} {place}.",
                owner,
                kind=dice.choice(list(Kind)),
                importance=dice.choice([0.0, 1.0, dice.random()]),
            )
            for place in range(8)
        ]
        store.mark_owner_due(owner, written)
        claim = store.claim_owner(owner, written, LEASE)
        assert claim is not None
        store.commit_plan(claim, Plan(tuple(map(Insert, made))), written)
        counts = {each.id: dice.choice([0, 1, 2, 50, 10**9]) for each in made}
        used_at = written + timedelta(days=dice.uniform(-50, 300))
        batch = {key: count for key, count in counts.items() if count}
        uses.add_uses(CountedUses(str(number), batch, dict.fromkeys(batch, used_at)), now)
        for each in made:
            use = Use(written, counts[each.id], used_at if counts[each.id] else None)
            expected[each.id] = strength_of(use, each.kind, each.importance, now, POLICY)

    all_of_them = replace(POLICY, threshold=1e9)
    found = {item.memory_id: item.strength for item in fading.find_faded(0, now, all_of_them).faded}

    assert pytest.approx(expected, rel=1e-9, abs=1e-250) == found
    faded = {key for key, strength in expected.items() if has_faded(strength, POLICY)}
    assert faded == {item.memory_id for item in fading.find_faded(0, now, POLICY).faded}
    assert 0 < len(faded) < len(expected)
    database.close()


def test_table_is_read_in_parts_and_nothing_is_missed(database_url: str) -> None:
    """However few pages a part has."""
    database = Database(database_url)
    world = World(
        PostgresMemoryStore(database),
        PostgresFading(database),
        PostgresUses(database),
        PostgresPins(database),
        PostgresHolds(database),
    )
    made = [memory_of(f"Statement {number}.") for number in range(40)]
    world.commit(*map(Insert, made))
    small = replace(POLICY, pages=1)

    assert world.fading.find_faded(0, FADED, small).position == 1
    assert {memory.id for memory in made} == world.faded(policy=small)
    assert {0.05: 40} == world.fading.survey(FADED, small, "acme").strengths
    database.close()
