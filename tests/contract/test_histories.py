"""The memory store's view back, and the verdicts: one contract, fake and real."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from pipelines.adapters.postgres import (
    Database,
    PostgresInbox,
    PostgresMemoryStore,
    PostgresVerdicts,
)
from pipelines.errors import LeaseLost, NotFound
from pipelines.model import FactOutcome, MemoryId, Scope, Slot
from pipelines.plan import Insert, Plan, Promote, Settlement
from pipelines.ports import Review
from pipelines.stages.merging.relate import PERSON, Relation
from pipelines.testing.models import InMemoryVerdicts
from pipelines.testing.stores import InMemoryStores
from tests.builders import ALICE, BOB, START, day, make_fact, make_memory, make_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.model import Fact, Memory
    from pipelines.ports import Inbox, MemoryStore, OwnerClaim, VerdictStore

LEASE = timedelta(minutes=5)


class Stores:
    def __init__(self, inbox: Inbox, memories: MemoryStore, verdicts: VerdictStore) -> None:
        self.inbox, self.memories, self.verdicts = inbox, memories, verdicts

    def settle(self, fact: Fact, memory: Memory) -> None:
        """A fact on its way, and the memory that it became."""
        transcript = make_transcript(
            fact.statement, session=fact.session_id, at=fact.event_at, key=fact.session_id
        )
        self.inbox.accept([transcript], START)
        held = self.inbox.claim_transcript(transcript.id, START, LEASE)
        assert held is not None
        self.inbox.commit_distilled(held, [fact], [], START)
        claim = self.claim()
        settled = {fact.id: Settlement(FactOutcome.INSERTED, memory.id)}
        self.memories.commit_plan(claim, Plan((Insert(memory),), {}, settled), START)
        self.memories.release_owner(claim, None, START)

    def claim(self) -> OwnerClaim:
        found = self.memories.claim_owner(ALICE, START, LEASE)
        assert found is not None
        return found


@pytest.fixture(params=["memory", "postgres"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "memory":
        shared = InMemoryStores()
        yield Stores(shared, shared, InMemoryVerdicts())
        return
    database = Database(request.getfixturevalue("database_url"))
    yield Stores(PostgresInbox(database), PostgresMemoryStore(database), PostgresVerdicts(database))
    database.close()


def test_facts_are_found_by_the_memory_in_which_they_were_settled(stores: Stores) -> None:
    """A memory can be taken apart into the facts that made it, by its owner alone."""
    fact = make_fact("User likes tea.")
    memory = make_memory(fact)
    stores.settle(fact, memory)

    assert {memory.id: (fact,)} == stores.memories.load_facts(ALICE, [memory.id])
    assert {} == stores.memories.load_facts(BOB, [memory.id])
    assert {} == stores.memories.load_facts(ALICE, [])


def test_facts_come_back_with_their_slot_and_their_end(stores: Stores) -> None:
    """Which of many values a fact ends is stored with it."""
    fact = make_fact(
        "User does not speak French any more.",
        slot=Slot("user", "language", "french"),
        value="French",
        ends=True,
    )
    memory = make_memory(fact, ends=True)
    stores.settle(fact, memory)

    assert {memory.id: (fact,)} == stores.memories.load_facts(ALICE, [memory.id])
    assert memory == stores.memories.find_memory("acme", memory.id)


def test_slots_of_many_values_are_told_apart(stores: Stores) -> None:
    """French and Greek are two slots of one attribute."""
    facts = [
        make_fact(f"User speaks {name}.", session=name, slot=Slot("user", "language", name))
        for name in ("french", "greek")
    ]
    for fact in facts:
        stores.settle(fact, make_memory(fact))

    found = stores.memories.load_slot(ALICE, Slot("user", "language", "greek"))

    assert ["User speaks greek."] == [memory.statement for memory in found]
    assert [] == stores.memories.load_slot(ALICE, Slot("user", "language"))
    assert [] == stores.memories.load_slot(BOB, Slot("user", "language", "greek"))


def test_memory_is_found_by_its_tenant_alone(stores: Stores) -> None:
    """Another tenant's memory does not exist."""
    fact = make_fact("User likes tea.")
    memory = make_memory(fact)
    stores.settle(fact, memory)

    assert memory == stores.memories.find_memory("acme", memory.id)
    with pytest.raises(NotFound):
        stores.memories.find_memory("other", memory.id)
    assert [] == stores.memories.read_events("other", memory.id)


def test_events_tell_what_happened_to_a_memory_in_order(stores: Stores) -> None:
    """The log names each change and the state after it."""
    fact = make_fact("User likes tea.")
    memory = make_memory(fact, scope=Scope.SESSION)
    stores.settle(fact, memory)
    stores.memories.mark_owner_due(ALICE, START)
    wider = make_memory(fact, version=2)
    plan = Plan((Promote(wider, Scope.SESSION, "important"),), {memory.id: 1}, {})
    stores.memories.commit_plan(stores.claim(), plan, day(1))

    events = stores.memories.read_events("acme", memory.id)

    assert [("memory_inserted", "session"), ("memory_promoted", "user")] == [
        (event.name, event.body["memory"]["scope"]) for event in events
    ]
    assert [START, day(1)] == [event.at for event in events]


def test_owner_without_news_can_be_made_due(stores: Stores) -> None:
    """A user can be leased to look at old facts anew."""
    stores.memories.mark_owner_due(ALICE, START)

    assert ALICE == stores.claim().owner


def test_lease_of_a_user_is_extended_only_by_its_holder(stores: Stores) -> None:
    """Whoever lost the lease cannot prolong it."""
    stores.memories.mark_owner_due(ALICE, START)
    first = stores.claim()
    stores.memories.extend_owner_lease(first, START + 2 * LEASE)
    assert None is stores.memories.claim_owner(ALICE, START + LEASE, LEASE)
    second = stores.memories.claim_owner(ALICE, START + 2 * LEASE, LEASE)
    assert second is not None

    with pytest.raises(LeaseLost):
        stores.memories.extend_owner_lease(first, START + 4 * LEASE)


def test_reviews_add_up_until_they_are_done(stores: Stores) -> None:
    """The first time counts, pairs are added, and what was reviewed is gone for its owner alone."""
    claim = None
    for number, owner in enumerate((ALICE, BOB)):
        stores.memories.mark_owner_due(owner, START)
        claim = stores.memories.claim_owner(owner, START, LEASE)
        assert claim is not None
        for at, weight in ((day(1), 2), (day(2), 3)):
            stores.memories.commit_plan(claim, Plan(opened={key_of(number): weight}), at)

    assert [Review(key_of(0), 5, day(1))] == stores.memories.load_reviews(ALICE)
    assert claim is not None
    assert BOB == claim.owner
    done = frozenset({key_of(0), key_of(1)})
    stores.memories.commit_plan(claim, Plan(reviewed=done), day(3))

    assert [] == stores.memories.load_reviews(BOB)
    assert [Review(key_of(0), 5, day(1))] == stores.memories.load_reviews(ALICE)


def key_of(number: int) -> MemoryId:
    return MemoryId(UUID(int=number))


def test_verdicts_belong_to_their_owner(stores: Stores) -> None:
    """What was judged of one user's statements says nothing about another's."""
    stores.verdicts.keep_verdicts(ALICE, {"pair": Relation.SAME}, "judge-v1/abc", START)

    assert {"pair": Relation.SAME} == stores.verdicts.find_verdicts(ALICE, {"pair", "other"})
    assert {} == stores.verdicts.find_verdicts(BOB, {"pair"})
    assert {} == stores.verdicts.find_verdicts(ALICE, set())


def test_verdicts_of_a_person_overrule_a_model_and_not_the_other_way_round(
    stores: Stores,
) -> None:
    """The first verdict of a model stays, until a person knows better, for good."""
    keep, find = stores.verdicts.keep_verdicts, stores.verdicts.find_verdicts
    keep(ALICE, {"pair": Relation.SAME}, "judge-v1/abc", START)
    keep(ALICE, {"pair": Relation.CHANGED}, "judge-v1/abc", START)
    assert {"pair": Relation.SAME} == find(ALICE, {"pair"})

    keep(ALICE, {"pair": Relation.BOTH}, PERSON, START)
    keep(ALICE, {"pair": Relation.CHANGED}, "judge-v2/abc", START)

    assert {"pair": Relation.BOTH} == find(ALICE, {"pair"})


def test_memory_that_nobody_knows_is_not_found(stores: Stores) -> None:
    """An id that never was is refused like one of another tenant."""
    with pytest.raises(NotFound):
        stores.memories.find_memory("acme", MemoryId(ALICE_ID))


ALICE_ID = make_transcript("x").id
