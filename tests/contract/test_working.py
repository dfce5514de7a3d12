"""Working memories, in memory and on Redis alike."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from config.policy import PersonalDataPolicy
from config.sessions import WorkingPolicy
from pipelines.adapters.redis_working import RedisWorking
from pipelines.errors import ErasedMeanwhile
from pipelines.flows.sessions import Sessions
from pipelines.flows.working import WorkingMemory
from pipelines.model import Owner
from pipelines.ports import Subject, Summary, Working, WorkingItem, WorkingStore
from pipelines.testing.models import HashEmbedder
from pipelines.testing.sessions import InMemorySessions
from pipelines.testing.working import InMemoryWorking
from tests.session_tiers import AT, POLICY, Tier, make_tier, open_tier
from workers.clock import SystemClock

if TYPE_CHECKING:
    from collections.abc import Iterator

ALICE = Owner("acme", "alice")
WORKING = WorkingPolicy()


@dataclass(frozen=True)
class World:
    """A store in its tier."""

    store: WorkingStore
    tier: Tier

    def append(self, *contents: str) -> Working:
        items = [WorkingItem(f"i-{said}", said, 1, AT) for said in contents]
        return self.store.append_items(ALICE, "s", items, self.tier.write())

    def fold(self, seen: Working, name: str) -> bool:
        return self.store.fold_items(ALICE, "s", seen, summary(name), self.tier.write())


def summary(name: str) -> Summary:
    """A summary of that name."""
    return Summary(name, f"about {name}", 2, 3, "test/1", AT)


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """An empty store of each kind."""
    if request.param == "memory":
        tier = make_tier()
        assert isinstance(tier.cache, InMemorySessions)
        yield World(InMemoryWorking(tier.cache, WORKING), tier)
        return
    url, prefix = request.getfixturevalue("redis_url"), request.getfixturevalue("key_prefix")
    with Redis.from_url(url) as redis, open_tier(url, prefix) as tier:
        yield World(RedisWorking(redis, prefix, WORKING, POLICY), tier)


def contents(found: Working) -> list[str]:
    return [item.content for item in found.items]


def test_items_are_given_back_in_the_order_in_which_they_came(world: World) -> None:
    """By the append itself, too; one that is repeated under its name is done once."""
    world.append("a", "b")
    write = world.tier.write()
    items = [WorkingItem("i-c", "c", 3, AT)]

    found = [world.store.append_items(ALICE, "s", items, write) for _ in range(2)]

    assert [["a", "b", "c"]] * 2 == [contents(item) for item in found]
    assert found[0] == world.store.read_items(ALICE, "s")
    assert (5, items[0]) == (found[0].tokens, found[0].items[-1])
    assert Working() == world.store.read_items(ALICE, "another")


def test_fold_takes_the_place_of_what_was_seen_and_leaves_what_came_since(world: World) -> None:
    """Whatever was appended while somebody was asked."""
    found = world.append("a", "b", "c")
    world.append("d")

    first = world.fold(Working(None, found.items[:2]), "one")
    second = world.fold(Working(summary("one"), found.items[2:]), "two")

    after = world.store.read_items(ALICE, "s")
    assert [True, True] == [first, second]
    assert (summary("two"), ["d"]) == (after.summary, contents(after))


def test_fold_changes_nothing_when_somebody_else_has_folded(world: World) -> None:
    """Of the items, of the summary, or of both."""
    found = world.append("a", "b", "c", "d")
    assert world.fold(Working(None, found.items[:2]), "one")
    before = world.store.read_items(ALICE, "s")

    tries = [
        world.fold(Working(None, found.items[:2]), "late"),
        world.fold(Working(None, found.items[2:3]), "late"),
        world.fold(Working(summary("one"), found.items[1:3]), "late"),
        world.fold(Working(summary("other"), found.items[2:3]), "late"),
    ]

    assert [False] * 4 == tries
    assert before == world.store.read_items(ALICE, "s")


def test_working_memory_lives_two_hours_from_its_last_use(world: World) -> None:
    """Summary and items alike; reading is using."""
    found = world.append("a", "b")
    world.fold(Working(None, found.items[:1]), "one")
    most = WORKING.lifetime * 0.9

    for _ in range(3):
        world.tier.pass_time(most)
        alive = world.store.read_items(ALICE, "s")
    world.tier.pass_time(WORKING.lifetime)

    assert (summary("one"), ["b"]) == (alive.summary, contents(alive))
    assert Working() == world.store.read_items(ALICE, "s")


@pytest.mark.parametrize("session", [None, "s"], ids=["user", "session"])
def test_erased_working_memory_is_gone_and_a_late_fold_is_refused(
    world: World, session: str | None
) -> None:
    """A summary that a model was asked for before the erasure comes to nothing."""
    write = world.tier.write()
    found = world.append("a", "b")
    subject = Subject(ALICE, session)

    removed = world.tier.cache.remove(subject, world.tier.now())

    assert removed >= 1
    with pytest.raises(ErasedMeanwhile):
        world.store.fold_items(ALICE, "s", found, summary("late"), write)
    with pytest.raises(ErasedMeanwhile):
        world.store.append_items(ALICE, "s", found.items, write)
    assert Working() == world.store.read_items(ALICE, "s")
    assert 0 == world.tier.cache.count(subject, world.tier.now())


def test_agents_at_once_lose_no_item(redis_url: str, key_prefix: str) -> None:
    """Eight threads, all folding all the time: every item is held or was folded, once."""
    policy = WorkingPolicy(budget_tokens=100, tries=50)
    with Redis.from_url(redis_url) as redis, open_tier(redis_url, key_prefix) as tier:
        sessions = Sessions(tier.cache, SystemClock(), PersonalDataPolicy(), POLICY)
        store = RedisWorking(redis, key_prefix, policy, POLICY)
        memory = WorkingMemory(store, sessions, HashEmbedder(), None, policy)
        errors: list[Exception] = []

        def run(agent: int) -> None:
            try:
                for number in range(15):
                    memory.append(ALICE, "s", [f"Agent {agent} did step {number} of its plan."])
            except Exception as error:  # noqa: BLE001 - handed to the test
                errors.append(error)

        threads = [threading.Thread(target=run, args=(agent,)) for agent in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = store.read_items(ALICE, "s")

    assert [] == errors
    assert found.summary is not None
    assert 120 == found.summary.folded + len(found.items)
    assert len(found.items) <= policy.max_items
