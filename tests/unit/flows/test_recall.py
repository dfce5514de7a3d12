"""Recalling."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from config.retrieval import RankPolicy
from pipelines.adapters.minilm import MiniLmEmbedder
from pipelines.adapters.openai_embedder import CharacterTokenCounter
from pipelines.errors import BadReply, InputError, ModelRefused, ModelUnavailable
from pipelines.flows.project import Project
from pipelines.flows.recall import NOT_RERANKED
from pipelines.model import MemoryState, Owner, Scope, Slot
from pipelines.plan import Insert, Plan, Supersede
from pipelines.stages.injection.fence import strip_fenced
from pipelines.stages.rank import promising
from pipelines.testing.index import InMemoryIndex
from pipelines.testing.models import HashEmbedder
from tests.builders import ALICE, BOB, START, day, make_fact, make_memory
from tests.unit.flows.recalling import LEASE, World, question

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from datetime import datetime

    from pipelines.model import Fact, Memory, MemoryId, Vector
    from pipelines.ports import Hit, MemoryLoader, TokenCounter


def test_recall_finds_the_nearest_first() -> None:
    """The memory that answers stands at the top."""
    world = World("User likes green tea.", "User lives in Berlin.", "User has a dog.")

    assert "User lives in Berlin." == world.ask("in which city does user live? Berlin?")[0]


def test_recall_answers_no_other_owner() -> None:
    """Neither another user nor another tenant's user of the same name sees anything."""
    world = World("User likes green tea.")

    assert [] == world.ask("green tea", BOB)
    assert [] == world.ask("green tea", Owner("other", "alice"))


def test_recall_shows_a_session_s_trifles_only_in_that_session() -> None:
    """Session scope is visible with its session id and not without."""
    world = World("User is debugging the login test.", importance=0.1)

    assert [] == world.ask("login test")
    assert [] == world.ask("login test", session_id="s2")
    assert ["User is debugging the login test."] == world.ask("login test", session_id="s1")


def test_recall_drops_what_a_stale_index_still_returns() -> None:
    """Hydration decides: a superseded memory is not recalled, however stale the index."""
    world = World("User lives in Berlin.")
    (memory,) = world.stores.export_memories("acme", "alice", None, 10)
    claim = world.stores.claim_owner(ALICE, START, LEASE)
    if claim is None:
        world.stores._mark_due(ALICE, START)
        claim = world.stores.claim_owner(ALICE, START, LEASE)
    assert claim is not None
    closed = replace(memory, state=type(memory.state).SUPERSEDED, valid_to=day(1), version=9)
    world.stores.commit_plan(claim, Plan((Supersede(closed),), {memory.id: memory.version}), START)

    assert 1 == world.index.count(ALICE)
    assert [] == world.ask("Berlin")


class RecordingLoader:
    """Remembers how many memories were asked for."""

    def __init__(self, loader: MemoryLoader) -> None:
        self.loader, self.asked = loader, list[int]()

    def load_memories(self, owner: Owner, ids: Collection[MemoryId]) -> list[Memory]:
        self.asked += [len(ids)] if ids else []
        return self.loader.load_memories(owner, ids)


def test_recall_reads_only_what_may_come_near_the_top() -> None:
    """So many for each that is wanted, the most promising first, and the same ones come of it."""
    world = World(*[f"User likes tea number {n} very much." for n in range(90)])
    loader = RecordingLoader(world.flow.store)
    narrow = replace(world.flow.policy, least_considered=5)
    flow = replace(world.flow, store=loader, policy=narrow)

    told = flow.run(question("tea number 7", max_memories=10)).memories
    everything = world.flow.run(question("tea number 7", max_memories=90)).memories

    assert [30] == loader.asked
    assert 10 == len(told)
    assert told[0].memory == everything[0].memory


def test_recall_reads_on_where_the_most_promising_cannot_be_told() -> None:
    """What the index proposes in vain is not counted."""
    world = World(*[f"User likes tea number {n} very much." for n in range(40)])
    hits = world.flow._search(question("tea"), world.flow.embedder.embed(["tea"])[0], 100)
    gone = {hit.memory_id for hit in promising(hits, world.flow.policy)[:30]}

    class Forgetful(RecordingLoader):
        def load_memories(self, owner: Owner, ids: Collection[MemoryId]) -> list[Memory]:
            return [it for it in super().load_memories(owner, ids) if it.id not in gone]

    loader = Forgetful(world.flow.store)
    narrow = replace(world.flow.policy, least_considered=5)
    flow = replace(world.flow, store=loader, policy=narrow)

    assert 5 == len(flow.run(question("tea", max_memories=5)).memories)
    assert [15, 15, 10] == loader.asked


@pytest.mark.parametrize("tokens", [HashEmbedder(), CharacterTokenCounter(), MiniLmEmbedder()])
def test_recall_keeps_its_block_within_the_token_budget(tokens: TokenCounter) -> None:
    """The whole block, fence, bullets and line breaks included, never exceeds the budget."""
    world = World(*[f"User likes tea number {n} very much indeed." for n in range(10)])
    flow = replace(world.flow, tokens=tokens)

    for budget in (1, 20, 40, 80, 120, 160, 200, 240):
        found = flow.run(question("tea", max_tokens=budget))
        assert found.tokens <= budget
        assert found.tokens == tokens.count([found.block])[0]
    assert 10 == len(world.ask("tea"))
    assert 3 == len(world.ask("tea", max_memories=3))


class RecordingCounter(HashEmbedder):
    """Remembers what it counted."""

    def __init__(self) -> None:
        super().__init__()
        self.counted: list[str] = []

    def count(self, texts: Sequence[str]) -> list[int]:
        self.counted += texts
        return super().count(texts)


@pytest.mark.parametrize(
    ("max_memories", "max_tokens", "expected"), [(3, 400, 3), (40, 60, 5), (40, 4_000, 40)]
)
def test_recall_counts_no_more_lines_than_it_needs(
    max_memories: int, max_tokens: int, expected: int
) -> None:
    """The others cannot fit; to count all candidates costs more than to rank them."""
    world, counter = World(*[f"User likes tea {n} best." for n in range(40)]), RecordingCounter()

    asked = question("tea", max_memories=max_memories, max_tokens=max_tokens)
    found = replace(world.flow, tokens=counter).run(asked)

    lines = sum(text.endswith(" best. (2026-03-02)") for text in counter.counted)
    assert expected == len(found.memories)
    assert expected <= lines < expected + 8


def test_recall_block_is_never_evidence_again() -> None:
    """The block is fenced, so that distilling strips all of it."""
    world = World("User lives in Berlin.")

    block = world.flow.run(question("Berlin")).block

    assert "User lives in Berlin." in block
    assert "" == strip_fenced(block).strip()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"query": "  "}, "query"),
        ({"query": "x" * 9_000}, "query"),
        ({"max_memories": 0}, "max_memories"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"owner": Owner("acme", "a\0")}, "user_id"),
        ({"session_id": "s\0"}, "session_id"),
        ({"session_id": "\ud800"}, "session_id"),
    ],
)
def test_recall_refuses_a_senseless_question(changes: dict[str, Any], field: str) -> None:
    """The field is named, with what to send instead."""
    world = World("User lives in Berlin.")

    with pytest.raises(InputError) as caught:
        world.flow.run(replace(question("Berlin"), **changes))
    assert field == caught.value.field


def moved_house() -> World:
    """She lived in Berlin until day 10, and in Porto since."""
    world = World("User likes green tea.")
    slot = Slot("user", "home city")
    past = make_fact("User lives in Berlin.", ordinal=7, slot=slot, value="Berlin")
    now = make_fact("User lives in Porto.", ordinal=8, slot=slot, value="Porto", at=day(10))
    _keep(world, past, state=MemoryState.SUPERSEDED, valid_to=day(10))
    _keep(world, now)
    return world


def test_recall_answers_with_what_held_then_when_a_time_is_asked_for() -> None:
    """What was superseded since is told as of its time, what came later is not."""
    world = moved_house()

    assert "User lives in Porto." in world.ask("lives")
    assert "User lives in Berlin." not in world.ask("lives")
    assert "User lives in Berlin." in world.ask("lives", as_of=day(9))
    assert "User lives in Porto." not in world.ask("lives", as_of=day(9))
    assert "User lives in Porto." in world.ask("lives", as_of=day(10))
    assert [] == world.ask("lives", as_of=day(-1))


def test_recall_block_says_of_which_day_it_is_when_a_time_is_asked_for() -> None:
    """Nobody takes the past for the present: the fence names the day, the line its interval."""
    world = moved_house()

    block = world.flow.run(question("lives", as_of=day(9))).block

    assert 'as-of="2026-03-11"' in block
    assert "User lives in Berlin. (2026-03-02 to 2026-03-12)" in block
    assert "" == strip_fenced(block).strip()


def test_recall_never_tells_what_was_merged_when_a_time_is_asked_for() -> None:
    """A memory that turned out to be another one never held by itself."""
    world = World("User lives in Berlin.")
    (memory,) = world.stores.export_memories("acme", "alice", None, 10)
    world.stores._memories[memory.id] = replace(memory, state=MemoryState.MERGED)

    assert [] == world.ask("Berlin", as_of=day(9))


class ScriptedReranker:
    """Scores each text by a rule of the test."""

    def __init__(self, rule: Callable[[str], float]) -> None:
        self.queries: list[str] = []
        self.asked: list[tuple[str, ...]] = []
        self._rule = rule

    def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        self.queries.append(query)
        self.asked.append(tuple(texts))
        return [self._rule(text) for text in texts]


def _number(text: str) -> float:
    return float(text.split()[3])


def test_recall_takes_the_rerankers_order_for_the_first_candidates() -> None:
    """It sees so many as the policy says, as the block shows them; the others follow."""
    world = World(*[f"User likes tea {n} best." for n in range(8)])
    reranker = ScriptedReranker(_number)
    plain = world.ask("tea")
    flow = replace(world.flow, reranker=reranker, policy=RankPolicy(reranked=5))

    found = flow.run(question("tea"))

    told = [item.memory.statement for item in found.memories]
    assert sorted(plain[:5], key=_number, reverse=True) == told[:5]
    assert plain[5:] == told[5:]
    assert [5] == [len(texts) for texts in reranker.asked]
    assert all(text.endswith(" best. (2026-03-02)") for text in reranker.asked[0])
    assert () == found.notes


@pytest.mark.parametrize(
    "error", [ModelUnavailable("late"), ModelRefused("401"), BadReply("no scores")]
)
def test_recall_answers_without_the_reranker_when_it_fails(error: Exception) -> None:
    """Its own order is better than none, and the answer says that it had to do."""
    world = World(*[f"User likes tea {n} best." for n in range(8)])

    def fail(_: str) -> float:
        raise error

    found = replace(world.flow, reranker=ScriptedReranker(fail)).run(question("tea"))

    assert world.ask("tea") == [item.memory.statement for item in found.memories]
    assert (NOT_RERANKED,) == found.notes


def test_recall_asks_no_reranker_when_nothing_is_known() -> None:
    """An empty answer costs nothing."""
    world, reranker = World("User likes green tea."), ScriptedReranker(_number)

    assert () == replace(world.flow, reranker=reranker).run(question("tea", BOB)).memories
    assert [] == reranker.asked


class RecordingEmbedder(HashEmbedder):
    """Remembers what it embedded."""

    def __init__(self) -> None:
        super().__init__()
        self.embedded: list[str] = []

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        self.embedded += texts
        return super().embed(texts)


class RecordingIndex(InMemoryIndex):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def search(
        self,
        owner: Owner,
        session_id: str | None,
        vector: Vector,
        text: str,
        limit: int,
        *,
        as_of: datetime | None = None,
    ) -> list[Hit]:
        self.asked.append(text)
        return super().search(owner, session_id, vector, text, limit, as_of=as_of)


@pytest.mark.parametrize(
    "secret", ["AKIAIOSFODNN7EXAMPLE", "ghp_16C7e42F292c6912E7710c838347Ae178B4a", "hunter2!x9"]
)
def test_recall_shows_no_secret_of_the_query_to_anybody(secret: str) -> None:
    """Embedder, index and reranker may be remote: they see a placeholder in its place."""
    world, embedder, index = World("User likes green tea."), RecordingEmbedder(), RecordingIndex()
    world.stores.refill(START)
    Project(world.stores, index, world.clock).run()
    reranker = ScriptedReranker(lambda _: 1.0)
    flow = replace(world.flow, embedder=embedder, index=index, reranker=reranker)

    found = flow.run(question(f"What tea? My password is {secret} by the way"))

    seen = [*embedder.embedded, *index.asked, *reranker.queries]
    assert {"What tea?"} == {text.partition(" My ")[0] for text in seen}
    assert [1, 2, 1] == [len(asked) for asked in (embedder.embedded, index.asked, reranker.queries)]
    assert all("[redacted:" in text for text in seen)
    assert not any(secret in text for text in (*seen, found.block))


def _share(world: World, statement: str, tenant: str = "acme", **changes: Any) -> None:  # noqa: ANN401 - fields of a memory
    """Make a statement everyone's in a tenant."""
    fact = make_fact(statement, owner=Owner.everyone(tenant), session=statement, subject="Staging")
    _keep(world, fact, **({"scope": Scope.GLOBAL, "session_id": ""} | changes))


def _keep(world: World, fact: Fact, **changes: Any) -> None:  # noqa: ANN401 - fields of a memory
    """Store the memory of a fact, and project it."""
    world.stores.mark_owner_due(fact.owner, START)
    claim = world.stores.claim_owner(fact.owner, START, LEASE)
    assert claim is not None
    memory = make_memory(fact, world.embedder.embed([fact.statement])[0], **changes)
    world.stores.commit_plan(claim, Plan((Insert(memory),)), START)
    world.stores.release_owner(claim, None, START)
    Project(world.stores, world.index, world.clock).run()


def test_recall_finds_what_is_everyones_in_the_tenant() -> None:
    """Every user of the tenant, also one of whom nothing is known, and nobody elsewhere."""
    world = World("User likes green tea.")
    _share(world, "Staging runs in Frankfurt.")

    assert "Staging runs in Frankfurt." == world.ask("where does staging run?")[0]
    assert ["Staging runs in Frankfurt."] == world.ask("where does staging run?", BOB)
    assert [] == world.ask("where does staging run?", Owner("other", "alice"))


@pytest.mark.parametrize("scope", [Scope.USER, Scope.SESSION])
def test_recall_shows_nothing_of_everyones_that_is_not_global(scope: Scope) -> None:
    """Only what was approved for all is anybody's; not even the session's name opens it."""
    world = World("User likes green tea.")
    _share(world, "Staging runs in Frankfurt.", scope=scope, session_id="s1")

    assert ["User likes green tea."] == world.ask("where does staging run?", session_id="s1")


def test_recall_prefers_the_users_own_word_to_everyones() -> None:
    """What the user says stays traceable to their message, and what they hold otherwise counts."""
    slot = Slot("staging", "region")
    world = World("User likes green tea.")
    _share(world, "Staging runs in Frankfurt.", slot=slot)
    _share(world, "Deploys of staging run at noon.")
    own = [
        make_fact("Staging runs in Dublin.", owner=BOB, slot=slot, value="Dublin"),
        make_fact("Deploys of staging run at noon.", owner=BOB, subject="Staging", ordinal=1),
    ]
    for fact in own:
        _keep(world, fact)

    found = world.flow.run(question("staging", BOB)).memories

    assert sorted(fact.statement for fact in own) == sorted(m.memory.statement for m in found)
    assert {BOB} == {item.memory.owner for item in found}
