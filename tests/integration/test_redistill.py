"""Distilling again: a generation beside the live memories, in their place, and out again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from memstill_client import Memstill, NotFound, Refused
from pipelines.adapters.postgres import PostgresMemoryStore
from pipelines.errors import LeaseLost
from pipelines.model import Owner
from pipelines.plan import Plan
from tests import endpoint as script

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.generations import World

ALICE = Owner("acme", "alice")
BETTER = "You are asked in better words. Answer with facts."
QUERY = "Where does she live?"
OSLO, RIGA, CAT = "I live in Oslo.", "I live in Riga.", "I have a cat."


def test_generation_takes_the_place_of_what_is_live_and_goes_again(world: World) -> None:
    """Beside the live memories nothing changes; switched, backed out, switched, it is exact."""
    world.tell(CAT, day=1)
    receipt = world.tell(OSLO, day=5)
    exported = list(world.client.memories())

    world.client.redistill("2026-03-02", prompt="v2")
    world.settle()

    found = world.client.generation()
    assert ({"shadow": 1}, {"done": 1}, "v2") == (found.users, found.sessions, found.prompt)
    assert [CAT, OSLO] == world.told()
    assert exported == list(world.client.memories())
    (diff,) = world.client.generation_differences()
    assert (1, [OSLO], ["Alice live in Oslo."]) == (
        diff.kept,
        [item.statement for item in diff.gone],
        [item.statement for item in diff.new],
    )

    world.client.switch_generation()
    world.settle()

    assert ["Alice live in Oslo.", CAT] == world.told()
    (fact,) = world.client.status(receipt).facts
    assert ("Alice live in Oslo.", "inserted") == (fact.statement, fact.outcome)
    shown = world.client.memory(str(fact.memory_id))
    assert [receipt] == [item["receipt"] for item in shown["evidence"]]
    assert ["memory_inserted", "memory_promoted"] == [
        item["name"] for item in world.client.history(shown["id"])["events"]
    ]
    (again,) = world.client.generation_differences("alice")
    assert diff.new == again.new

    world.client.back_out_generation()
    world.settle()

    assert [CAT, OSLO] == world.told()
    assert exported == list(world.client.memories())

    world.client.switch_generation()
    world.settle()
    world.drop()

    assert ["Alice live in Oslo.", CAT] == world.told()
    assert {0} == set(world.count_shadows().values()), world.count_shadows()


def test_session_that_comes_in_meanwhile_is_in_both(world: World) -> None:
    """Told while the shadow is built, after the switch, after backing out: never lost."""
    world.tell(OSLO, day=5)
    world.client.redistill("2026-03-01", prompt="v2")
    world.settle()
    world.tell(CAT, day=6)

    world.client.switch_generation()
    world.settle()
    assert ["Alice live in Oslo.", CAT] == world.told()

    world.tell("I have a dog.", day=7)
    world.client.back_out_generation()
    world.settle()
    assert [CAT, "I have a dog.", OSLO] == world.told()

    world.tell("I have a bird.", day=8)
    world.client.switch_generation()
    world.settle()
    expected = ["Alice live in Oslo.", "I have a bird.", CAT, "I have a dog."]
    assert expected == world.told()


def test_recall_knows_the_old_or_the_new_at_any_moment_of_a_switch(world: World) -> None:
    """Asked without a pause while it is switched and backed out: all of one, never a part."""
    for number, city in enumerate(("Oslo", "Riga", "Bern", "Rome", "Lima"), start=1):
        world.tell(f"I have been to {city}.", day=number)
    world.client.redistill("2026-03-01", prompt="v2")
    world.settle()
    old = tuple(world.told())
    answers: set[tuple[str, ...]] = set()
    stopped = threading.Event()

    def ask() -> None:
        while not stopped.is_set():
            answers.add(tuple(world.told()))

    asker = threading.Thread(target=ask)
    asker.start()
    for order in (world.client.switch_generation, world.client.back_out_generation) * 2:
        order()
        world.settle()
    stopped.set()
    asker.join(30)

    new = tuple(sorted(text.replace("I ", "Alice ", 1) for text in old))
    assert {old, new} == answers


def test_session_that_cannot_be_distilled_again_keeps_what_was_found_before(world: World) -> None:
    """A dead letter of a generation takes nothing away."""
    world.tell(OSLO, day=5)
    world.tell(CAT, day=6)
    world.endpoint.fail_on("cat", script.status(400))
    world.client.redistill("2026-03-01", prompt="v2")
    world.client.switch_generation()
    world.container.redistill.run()
    for _ in range(world.container.policies.retry.max_attempts + 2):
        world.work_at_once()

    assert {"done": 1, "dead": 1} == world.client.generation().sessions
    assert ["Alice live in Oslo.", CAT] == world.told()


def test_copy_whose_original_lost_its_text_keeps_what_was_found_before(world: World) -> None:
    """Text that is purged between copying and distilling is not there in any generation."""
    world.tell(OSLO, day=5)
    world.client.redistill("2026-03-01", prompt="v2")
    world.container.redistill.run()
    world.query("UPDATE transcripts SET body = body - 'messages' WHERE copy_of IS NULL RETURNING 1")
    world.client.switch_generation()
    world.settle()

    assert {"dead": 1} == world.client.generation().sessions
    assert [OSLO] == world.told()


def test_calls_of_a_generation_are_booked_on_the_user_and_never_paid_twice(world: World) -> None:
    """Another prompt costs a call each; the same one finds the replies that are stored."""
    world.tell(OSLO, day=5)
    world.client.redistill("2026-03-01", prompt="v1")
    world.settle()
    assert 1 == len(world.endpoint.chat_calls)
    world.drop()

    world.client.redistill("2026-03-01", prompt="v2")
    world.settle()

    assert [("acme", "alice", 2)] == world.query(
        "SELECT tenant_id, user_id, sum(calls)::int FROM ledger GROUP BY 1, 2"
    )


def test_lease_taken_before_a_switch_commits_nothing_after_it(world: World) -> None:
    """Whoever consolidated the old memories while they were replaced is refused by the fence."""
    world.tell(OSLO, day=5)
    world.client.redistill("2026-03-01", prompt="v2")
    world.settle()
    store, clock = PostgresMemoryStore(world.container.database), world.container.sweep.clock
    store.mark_owner_due(ALICE, clock.now())
    lease = world.container.policies.lease.consolidate
    claim = store.claim_owner(ALICE, clock.now(), lease)
    assert claim is not None

    world.client.switch_generation()
    world.settle()

    with pytest.raises(LeaseLost):
        store.commit_plan(claim, Plan(), clock.now())


def test_only_the_user_asked_for_is_distilled_again(world: World) -> None:
    """The others keep their memories, ids and all."""
    world.tell(OSLO, day=5)
    world.tell(RIGA, user="bob", day=5)
    before = list(world.client.memories("bob"))

    world.client.redistill("2026-03-01", user_id="alice", prompt="v2")
    world.client.switch_generation()
    world.settle()

    assert {"live": 1} == world.client.generation().users
    assert (["Alice live in Oslo."], before) == (
        world.told(),
        list(world.client.memories("bob")),
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"prompt": "v9"}, "prompt: there is no distill_v9.md; known versions are v1, v2"),
        ({"prompt": "../v1"}, "prompt: "),
        ({"distiller": "offline", "prompt": "v1"}, "distiller: offline asks no model"),
        ({"since": "yesterday"}, "since: is no date"),
        ({"since": "2026-03-06"}, "since: no session that was distilled ended since then"),
    ],
)
def test_start_is_refused_with_the_remedy(
    world: World, options: dict[str, str], expected: str
) -> None:
    """What cannot be done is said, and nothing is begun."""
    world.tell(OSLO, day=5)

    with pytest.raises(Refused) as refused:
        world.client.redistill(**({"since": "2026-03-01"} | options))

    assert str(refused.value).startswith(expected), str(refused.value)
    with pytest.raises(NotFound):
        world.client.generation()


def test_tenant_has_one_generation_and_sees_no_other(world: World) -> None:
    """A second one is refused until the first is dropped; another tenant knows of none."""
    world.tell(OSLO, day=5)
    world.client.redistill("2026-03-01", prompt="v2")

    with pytest.raises(Refused, match="a generation is open already"):
        world.client.redistill("2026-03-01")
    url = f"http://127.0.0.1:{world.container.settings.api_port}"
    with Memstill(api_url=url, redis_url="", tenant_id="globex") as stranger:
        orders: tuple[Callable[[], object], ...] = (
            stranger.generation,
            stranger.switch_generation,
            stranger.back_out_generation,
            stranger.drop_generation,
            lambda: list(stranger.generation_differences()),
        )
        for order in orders:
            with pytest.raises(NotFound):
                order()
