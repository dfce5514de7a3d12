"""Switching under way: whoever else works, asks or decides meanwhile loses nothing by it."""

from __future__ import annotations

import random
import threading
from dataclasses import replace
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from memstill_client import NotFound, Refused
from pipelines.adapters.postgres import PostgresGenerations
from pipelines.errors import StoreUnavailable
from pipelines.model import MemoryId, Owner
from tests import endpoint as script

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from pipelines.ports import GenerationUser, Moved
    from tests.integration.generations import World

ALICE = Owner("acme", "alice")
OSLO, RIGA, CAT = "I live in Oslo.", "I live in Riga.", "I have a cat."
CITIES = ("Oslo", "Riga", "Bern", "Rome", "Lima")


def test_recall_is_not_crowded_out_by_what_is_about_to_be_live(world: World) -> None:
    """With more memories than the index is asked for: as many are told at every step."""
    for number in range(4):
        said = [f"I have been to town number {number * 20 + town}." for town in range(20)]
        world.tell(*said, day=number + 1)

    def told() -> int:
        found = world.client.recall("Which towns?", "alice", max_memories=40, max_tokens=9_000)
        return len(found.memories)

    assert 40 == told()
    world.client.redistill("2026-03-01", prompt="v2")
    world.settle()

    for order in (world.client.switch_generation, world.client.back_out_generation):
        order()
        for _ in range(4):
            world.container.redistill.run()
            world.container.project.run()
            assert 40 == told()
            world.work_at_once()
        assert world.client.generation().is_settled


def test_transcript_is_done_though_its_facts_were_merged_after_the_switch(world: World) -> None:
    """What still waited on the old side when it was displaced and dropped waits no more."""
    world.tell(OSLO, day=5)
    world.client.redistill("2026-03-01", prompt="v2")
    world.settle()
    receipt = world.push(CAT, day=6)
    table, clock = world.container.sweep.work, world.container.sweep.clock
    for key in table.find_due(clock.now(), 10).transcripts:
        world.container.distill.run(key)
    world.client.switch_generation()

    def work_elsewhere() -> None:
        world.query("UPDATE generation_users SET due_at = now() - interval '1 minute' RETURNING 1")
        world.container.redistill.run()
        for owner in table.find_due(clock.now(), 10).owners:
            if owner.tenant_id.endswith("next"):
                world.container.consolidate.run(owner)
        world.container.project.run()

    for _ in range(6):
        work_elsewhere()
    assert {"live": 1} == world.client.generation().users
    world.drop()

    status = world.client.status(receipt)
    assert ("done", [CAT]) == (status.state, [fact.statement for fact in status.facts])


def test_restored_memory_stays_restored_when_the_generation_takes_its_place(world: World) -> None:
    """A person's verdict holds on every side, whenever it is given."""
    world.tell("My home is Oslo.", day=1)
    world.tell("My home is Riga.", day=2)
    world.tell(CAT, day=5)
    (old,) = (item for item in world.client.memories() if item["state"] == "superseded")
    world.client.redistill("2026-03-04", prompt="v2")
    world.settle()

    world.client.restore(old["id"])
    world.work()
    world.client.switch_generation()
    world.settle()

    assert ["Alice have a cat.", "My home is Oslo.", "My home is Riga."] == world.told()


def test_restore_says_try_again_when_the_memory_is_replaced_meanwhile(world: World) -> None:
    """No half of it is done on memories that are not live any more."""
    world.tell("My home is Oslo.", day=1)
    world.tell("My home is Riga.", day=2)
    (old,) = (item for item in world.client.memories() if item["state"] == "superseded")
    world.client.redistill("2026-03-01", prompt="v2")
    world.client.switch_generation()
    world.settle()

    with pytest.raises(NotFound):
        world.client.restore(old["id"])
    with pytest.raises(Exception, match="are being changed"):
        world.container.consolidate.rearrange(ALICE, [MemoryId(UUID(old["id"]))])


class AliceIsLocked(PostgresGenerations):
    """Somebody sits on a row of hers for longer than a statement may take."""

    def move(self, user: GenerationUser, now: datetime, retry_at: datetime) -> Moved:
        if user.user_id == "alice":
            raise StoreUnavailable("PostgreSQL does not answer as it should (LockNotAvailable)")
        return super().move(user, now, retry_at)


def test_one_locked_user_holds_up_nobody_else(world: World) -> None:
    """Bob is switched, and Alice is looked at again later."""
    for user in ("alice", "bob"):
        world.tell(OSLO, user=user, day=5)
    world.client.redistill("2026-03-01", prompt="v2")
    world.settle()
    world.client.switch_generation()
    locked = AliceIsLocked(world.container.database)
    for _ in range(3):
        world.query("UPDATE generation_users SET due_at = now() - interval '1 minute' RETURNING 1")
        replace(world.container.redistill, generations=locked).run()
        world.container.project.run()

    assert [("alice", "shadow"), ("bob", "live")] == world.query(
        "SELECT user_id, step FROM generation_users ORDER BY 1"
    )
    world.work_at_once()
    world.settle()


def test_many_threads_meet_a_new_generation_without_waiting_for_each_other(world: World) -> None:
    """The first copies of a generation, more at once than there are connections."""
    for number in range(40):
        world.push(OSLO, user=f"user{number}", day=5)
    world.work()
    world.client.redistill("2026-03-01", prompt="v2")
    world.container.redistill.run()
    table, clock = world.container.sweep.work, world.container.sweep.clock
    receipts = table.find_due(clock.now(), 100).backfill
    assert 40 == len(receipts)
    ready = threading.Barrier(len(receipts))

    def distill(number: int) -> None:
        ready.wait(30)
        world.container.distill.run(receipts[number])

    threads = [threading.Thread(target=distill, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(25)

    assert {"done": 40} == world.client.generation().sessions


def test_diff_shows_only_what_another_distiller_makes_of_the_sessions(world: World) -> None:
    """Not what came in since, nor what is kept of a session that could not be distilled again."""
    world.tell(OSLO, day=5)
    world.tell(RIGA, day=6)
    world.endpoint.fail_on("Riga", script.status(400))
    world.client.redistill("2026-03-01", prompt="v2")
    for _ in range(world.container.policies.retry.max_attempts + 1):
        world.work_at_once()
    world.tell(CAT, day=7)

    (before,) = world.client.generation_differences()
    world.client.switch_generation()
    world.settle()
    world.tell("I have a dog.", day=8)
    (after,) = world.client.generation_differences()

    for diff in (before, after):
        assert ([OSLO], ["Alice live in Oslo."]) == (
            [item.statement for item in diff.gone],
            [item.statement for item in diff.new],
        )


def test_drop_is_refused_while_users_are_on_their_way(world: World) -> None:
    """Some would have the old memories and some the new, with no way back."""
    for user in ("alice", "bob"):
        world.tell(OSLO, user=user, day=5)
    world.client.redistill("2026-03-01", prompt="v2")
    world.settle()
    world.client.switch_generation()
    world.container.redistill.run()

    with pytest.raises(Refused, match="is on its way"):
        world.client.drop_generation()


def test_what_was_live_stays_when_its_user_is_held(world: World) -> None:
    """The generation is dropped for the others, and for the user when they are let go."""
    for user in ("alice", "bob"):
        world.tell(OSLO, user=user, day=5)
    world.client.redistill("2026-03-01", prompt="v2")
    world.settle()
    world.client.switch_generation()
    world.settle()
    hold = world.client.hold("alice", "case 7")

    def previous() -> list[tuple[str]]:
        return world.query("SELECT user_id FROM memories WHERE position(E'\\x1f' IN tenant_id) > 0")

    world.client.drop_generation()
    for _ in range(4):
        world.container.redistill.run()
    assert [("alice",)] == previous()

    world.client.release_hold(str(hold.id))
    world.work_at_once()
    assert [] == previous()


def test_replies_of_a_dropped_generation_name_the_transcripts_themselves(world: World) -> None:
    """So that whoever erases a transcript finds all that was answered to its text."""
    receipt = world.tell(OSLO, day=5)
    world.client.redistill("2026-03-01", prompt="v2")
    world.settle()
    world.drop()

    assert {(UUID(receipt),)} == {
        tuple(row[0]) for row in world.query("SELECT receipts FROM replies")
    }


@pytest.mark.parametrize("seed", range(3))
def test_any_order_of_events_ends_with_every_session_told_once(world: World, seed: int) -> None:
    """Told, switched, backed out and dropped at random, a step of work in between."""
    rng = random.Random(seed)
    told: dict[str, str] = {}

    def tell() -> None:
        text = f"I have been to {rng.choice(CITIES)} in month {len(told)}."
        told[world.push(text, day=rng.randint(1, 28), session=f"s{len(told)}")] = text

    def order() -> None:
        orders: tuple[Callable[[], object], ...] = (
            lambda: world.client.redistill(f"2026-03-{rng.randint(1, 20):02}", prompt="v2"),
            world.client.switch_generation,
            world.client.switch_generation,
            world.client.back_out_generation,
            world.client.drop_generation,
        )
        try:
            rng.choice(orders)()
        except (NotFound, Refused):
            return

    for _ in range(3):
        tell()
    for _ in range(60):
        kind = rng.random()
        if kind < 0.12:
            tell()
        elif kind < 0.3:
            order()
        else:
            work_a_step(world, rng)
    settle_all(world)

    for receipt, text in told.items():
        status = world.client.status(receipt)
        (fact,) = status.facts
        assert "done" == status.state
        assert fact.statement in {text, text.replace("I ", "Alice ", 1)}
    current = [item["statement"] for item in world.client.memories()]
    assert len(told) == len(current)
    assert sorted(current) == world.told()


def work_a_step(world: World, rng: random.Random) -> None:
    """One of the things that workers do, on whatever is due."""
    table, clock = world.container.sweep.work, world.container.sweep.clock
    due, kind = table.find_due(clock.now(), 100), rng.random()
    receipts = [*due.transcripts, *due.backfill]
    if kind < 0.35 and receipts:
        world.container.distill.run(rng.choice(receipts))
    elif kind < 0.65 and due.owners:
        world.container.consolidate.run(rng.choice(due.owners))
    elif kind < 0.8:
        world.container.project.run()
    else:
        world.query("UPDATE generation_users SET due_at = now() - interval '1 minute' RETURNING 1")
        world.container.redistill.run()


def settle_all(world: World) -> None:
    """Work until nothing waits, and no generation is on its way."""
    for _ in range(30):
        # Nobody waits for earlier sessions any more.
        world.query(
            "UPDATE transcripts SET received_at = received_at - interval '2 minutes' RETURNING 1"
        )
        world.query("UPDATE owners SET due_at = now() WHERE due_at IS NOT NULL RETURNING 1")
        world.work_at_once()
        try:
            if world.client.generation().is_settled:
                break
        except NotFound:
            break
    world.work_at_once()
