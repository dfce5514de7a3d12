"""Distilling again: a generation beside the live memories, in their place, and out again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from config.settings import Settings
from memstill_client import Memstill, NotFound, Refused
from pipelines.adapters.postgres import PostgresMemoryStore
from pipelines.errors import LeaseLost
from pipelines.model import Owner
from pipelines.plan import Plan
from tests import endpoint as script
from tests.acceptance.deployment import free_port, wait_until
from tests.endpoint import FactDict, Line, ScriptedEndpoint, fact_from, facts_of_user_messages
from workers.api import make_server
from workers.app import make_app
from workers.container import Container, open_container
from workers.embedded.children import is_listening

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ALICE = Owner("acme", "alice")
BETTER = "You are asked in better words. Answer with facts."
QUERY = "Where does she live?"
OSLO, RIGA, CAT = "I live in Oslo.", "I live in Riga.", "I have a cat."


class World:
    """A deployment in this process, whose model hears more with the prompt ``v2``."""

    def __init__(self, container: Container, endpoint: ScriptedEndpoint, client: Memstill) -> None:
        self.container = container
        self.endpoint = endpoint
        self.client = client

    def tell(self, text: str, *, user: str = "alice", day: int) -> str:
        receipt = self.client.enqueue(
            user_id=user,
            session_id=f"s{day}",
            started_at=f"2026-03-{day:02}T09:00:00Z",
            messages=[{"role": "user", "name": user.capitalize(), "content": text}],
        )
        self.work()
        return str(receipt)

    def work(self) -> None:
        """What workers would do, until nothing is due."""
        table, clock = self.container.sweep.work, self.container.sweep.clock
        while True:
            due = table.find_due(clock.now(), 100)
            for receipt in (*due.transcripts, *due.backfill):
                self.container.distill.run(receipt)
            for owner in due.owners:
                self.container.consolidate.run(owner)
            self.container.project.run()
            self.container.redistill.run()
            if not (due.transcripts or due.backfill or due.owners or due.has_unsettled):
                return

    def settle(self) -> None:
        def is_settled() -> bool:
            self.work()
            return self.client.generation().is_settled

        wait_until(is_settled, "the generation is settled", 30)

    def drop(self) -> None:
        self.client.drop_generation()
        self.work()
        with pytest.raises(NotFound):
            self.client.generation()

    def told(self, user: str = "alice") -> list[str]:
        return sorted(item.statement for item in self.client.recall(QUERY, user).memories)

    def query(self, statement: str) -> list[Any]:
        with self.container.database.transaction() as connection:
            return list(connection.exec_driver_sql(statement).all())

    def count_shadows(self) -> dict[str, int]:
        """Rows in every table that belong to something that is not live."""
        kept = ("transcripts", "facts", "memories", "events", "owners", "outbox")
        paid = ("replies", "ledger", "verdicts")
        found = {}
        for name in (*kept, *paid, self._points()):
            ((count,),) = self.query(
                f"SELECT count(*) FROM {name} WHERE position(E'\\x1f' IN tenant_id) > 0"
            )
            found[name] = count
        return found

    def _points(self) -> str:
        names = self.query(
            "SELECT tablename FROM pg_tables WHERE tablename LIKE '%%minilm%%' ORDER BY 1"
        )
        return f'"{names[0][0]}"'


def better(line: Line) -> FactDict:
    """With the better prompt the model says of whom it speaks."""
    return fact_from(line, statement=line["content"].replace("I ", "Alice ", 1))


@pytest.fixture
def world(database_url: str, redis_url: str, key_prefix: str, tmp_path: Path) -> Iterator[World]:
    (tmp_path / "distill_v2.md").write_text(BETTER, encoding="utf-8")

    def distil(lines: list[Line]) -> list[FactDict]:
        asked = endpoint.chat_calls[-1].body["messages"][0]["content"]
        if asked == BETTER:
            return [better(line) for line in lines if line["role"] == "user"]
        return facts_of_user_messages(lines)

    with ScriptedEndpoint(distil) as endpoint:
        settings = Settings(
            database_url=database_url,
            redis_url=redis_url,
            key_prefix=key_prefix,
            index_url="pgvector",
            api_port=free_port(),
            distiller="model",
            model_base_url=endpoint.base_url,
            model_api_key="k",
            verbatim="off",
            prompts_dir=tmp_path,
        )
        container = open_container(settings, make_app(settings))
        server = make_server(container)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        wait_until(lambda: is_listening("127.0.0.1", settings.api_port), "the API listens")
        url = f"http://127.0.0.1:{settings.api_port}"
        with Memstill(api_url=url, redis_url="", tenant_id="acme", timeout=30.0) as client:
            yield World(container, endpoint, client)
        server.should_exit = True
        thread.join(10)
        assert not thread.is_alive()
        container.close()


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
    wait_until(lambda: _kill_waiting(world) or world.client.generation().is_settled, "settled", 60)

    assert {"done": 1, "dead": 1} == world.client.generation().sessions
    assert ["Alice live in Oslo.", CAT] == world.told()


def _kill_waiting(world: World) -> bool:
    """Let what failed be due at once, and work."""
    world.query("UPDATE transcripts SET due_at = received_at WHERE state = 'queued' RETURNING 1")
    world.work()
    return False


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
