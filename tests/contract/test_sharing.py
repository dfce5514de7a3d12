"""Looking across the users of a tenant, and keeping proposals: one contract, fake and real."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text

from config.policy import GlobalPolicy
from pipelines.adapters.postgres import Database, PostgresMemoryStore, PostgresSharing
from pipelines.adapters.postgres.sharing import (
    select_last_key,
    select_repeated_keys,
    select_supporters,
)
from pipelines.errors import NotFound
from pipelines.model import Kind, Memory, MemoryState, Owner, Role, Scope
from pipelines.plan import Insert, Plan, Recount
from pipelines.stages.sharing.share import ProposalState, find_supports, propose
from pipelines.stages.sharing.shared import open_shared
from pipelines.testing.sharing import InMemorySharing
from pipelines.testing.stores import InMemoryStores
from tests.builders import START, make_fact, make_memory, vector_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Select

    from pipelines.ports import MemoryStore, Sharing
    from pipelines.stages.sharing.share import Proposal

LEASE = timedelta(minutes=5)
POLICY = GlobalPolicy(batch=4)
STATEMENT = "PgBouncer breaks prepared statements."
ALL = tuple(ProposalState)


class Stores:
    def __init__(self, memories: MemoryStore, sharing: Sharing) -> None:
        self.memories, self.sharing = memories, sharing

    def commit(self, owner: Owner, plan: Plan) -> None:
        self.memories.mark_owner_due(owner, START)
        claim = self.memories.claim_owner(owner, START, LEASE)
        assert claim is not None
        self.memories.commit_plan(claim, plan, START)
        self.memories.release_owner(claim, None, START)

    def keep(self, *memories: Memory) -> None:
        for memory in memories:
            self.commit(memory.owner, Plan((Insert(memory),)))

    def walk(self, tenant_id: str = "acme", policy: GlobalPolicy = POLICY) -> list[str]:
        """What a whole scan finds, as user and statement."""
        found, after = [], ""
        while True:
            part = self.sharing.find_repeated(tenant_id, policy, after)
            found += [f"{item.owner.user_id}: {item.statement}" for item in part.supporters]
            if part.next is None:
                return sorted(found)
            after = part.next


@pytest.fixture(params=["memory", "postgres"])
def stores(request: pytest.FixtureRequest) -> Iterator[Stores]:
    if request.param == "memory":
        kept = InMemoryStores()
        yield Stores(kept, InMemorySharing(kept))
        return
    database = Database(request.getfixturevalue("database_url"))
    yield Stores(PostgresMemoryStore(database), PostgresSharing(database))
    database.close()


def said(
    user: str,
    statement: str = STATEMENT,
    *,
    tenant: str = "acme",
    kind: Kind = Kind.LESSON,
    role: Role = Role.USER,
    **changes: Any,  # noqa: ANN401 - any field of a memory
) -> Memory:
    """A memory of a user about PgBouncer."""
    owner = Owner(tenant, user)
    session = f"of {statement[:8]}"
    fact = make_fact(
        statement, owner=owner, subject="PgBouncer", kind=kind, role=role, session=session
    )
    return make_memory(fact, **changes)


def a_proposal(*users: str, tenant: str = "acme", statement: str = STATEMENT) -> Proposal:
    """What these users would have proposed."""
    kept = InMemoryStores()
    stores = Stores(kept, InMemorySharing(kept))
    stores.keep(*(said(user, statement, tenant=tenant) for user in users))
    found = stores.sharing.find_supporters(tenant, [statement])
    (support,) = find_supports(found, POLICY)
    return propose(tenant, support, POLICY, START)


def test_scan_finds_what_enough_users_say(stores: Stores) -> None:
    """Statements of three users, in any spelling; those of two, or of one user thrice, not."""
    other = "The port is 5433."
    stores.keep(
        said("alice"), said("bob"), said("carol", "pgbouncer breaks prepared statements"),
        said("alice", other), said("bob", other),
    )  # fmt: skip

    assert [
        f"alice: {STATEMENT}",
        f"bob: {STATEMENT}",
        "carol: pgbouncer breaks prepared statements",
    ] == stores.walk()


def test_scan_stays_inside_the_tenant(stores: Stores) -> None:
    """Two users here and one there are not three."""
    stores.keep(said("alice"), said("bob"), said("carol", tenant="globex"))

    assert [] == stores.walk("acme")
    assert [] == stores.walk("globex")


@pytest.mark.parametrize(
    "changes",
    [
        {"scope": Scope.SESSION},
        {"state": MemoryState.SUPERSEDED},
        {"state": MemoryState.MERGED},
        {"importance": 0.1},
        {"kind": Kind.PREFERENCE},
    ],
)
def test_scan_leaves_out_what_does_not_count(stores: Stores, changes: dict[str, Any]) -> None:
    """Only current memories of users, of a shareable kind, that matter."""
    stores.keep(said("alice"), said("bob"), said("carol", **changes))

    assert [] == stores.walk()


def test_scan_walks_in_parts_and_misses_nothing(stores: Stores) -> None:
    """However small a part is, every statement of three users comes once, in one part."""
    texts = [f"Port {number} is taken." for number in range(9)]
    users = ("alice", "bob", "carol", "dave", "erin")
    stores.keep(*(said(user, statement) for statement in texts for user in users))
    stores.keep(*(said(f"u{n}", f"Only user {n} says this.") for n in range(7)))

    for batch in (1, 4, 7, 1000):
        expected = sorted(f"{user}: {statement}" for statement in texts for user in users)
        assert expected == stores.walk(policy=replace(POLICY, batch=batch))


def test_supporters_carry_who_says_it(stores: Stores) -> None:
    """Users' names come along; what the assistant said names nobody."""
    stores.keep(said("alice"), said("bob", role=Role.ASSISTANT))

    found = {
        item.owner.user_id: item for item in stores.sharing.find_supporters("acme", [STATEMENT])
    }

    assert {"User"} == found["alice"].speakers
    assert frozenset() == found["bob"].speakers
    assert (STATEMENT, "PgBouncer", Kind.LESSON, 0.6) == (
        found["alice"].statement,
        found["alice"].subject,
        found["alice"].kind,
        found["alice"].importance,
    )
    assert said("alice").id == found["alice"].memory_id


def test_supporters_are_found_by_statement_alone(stores: Stores) -> None:
    """Of any importance, because whoever counts them applies the policy; none asked, none found."""
    stores.keep(said("alice"), said("bob", importance=0.0), said("carol", "Something else."))

    found = stores.sharing.find_supporters("acme", ["PGBOUNCER breaks prepared statements"])

    assert {"alice", "bob"} == {item.owner.user_id for item in found}
    assert [] == stores.sharing.find_supporters("acme", [])
    assert [] == stores.sharing.find_supporters("globex", [STATEMENT])


def test_cited_memories_are_loaded_with_their_evidence(stores: Stores) -> None:
    """Those of the tenant's users, by id; never another tenant's, never what is shared."""
    alice, bob, foreign = said("alice"), said("bob"), said("alice", tenant="globex")
    shared = said("", scope=Scope.GLOBAL)
    stores.keep(alice, bob, foreign, shared)

    found = stores.sharing.load_cited("acme", [alice.id, bob.id, foreign.id, shared.id])

    assert sorted([alice, bob], key=lambda item: item.id) == found
    assert [] == stores.sharing.load_cited("acme", [])


def test_tenants_follow_each_other(stores: Stores) -> None:
    """From the empty id through all that have memories."""
    stores.keep(said("alice", tenant="globex"), said("alice"), said("bob"))

    assert ["acme", "globex", None] == [
        stores.sharing.next_tenant(after) for after in ("", "acme", "globex")
    ]


def test_proposal_is_stored_once(stores: Stores) -> None:
    """Repeating it changes nothing, and only its tenant finds it."""
    proposal = a_proposal("alice", "bob", "carol")

    assert [proposal.id] == stores.sharing.add_proposals([proposal])
    assert [] == stores.sharing.add_proposals([replace(proposal, users=9)])
    assert [] == stores.sharing.add_proposals([])
    assert proposal == stores.sharing.find_proposal("acme", proposal.id)
    with pytest.raises(NotFound):
        stores.sharing.find_proposal("globex", proposal.id)


def test_decision_is_written_only_on_what_was_read(stores: Stores) -> None:
    """Two who decide at once do not overwrite each other."""
    proposal = a_proposal("alice", "bob", "carol")
    stores.sharing.add_proposals([proposal])
    approved = replace(
        proposal, state=ProposalState.APPROVED, decided_at=START, decided_by="eve", users=4
    )
    rejected = replace(proposal, state=ProposalState.REJECTED)

    assert stores.sharing.update_proposal(approved, ProposalState.PROPOSED)
    assert not stores.sharing.update_proposal(rejected, ProposalState.PROPOSED)
    assert not stores.sharing.update_proposal(
        replace(rejected, tenant_id="globex"), ProposalState.APPROVED
    )
    assert approved == stores.sharing.find_proposal("acme", proposal.id)


@pytest.mark.parametrize("state", ALL)
def test_only_a_withdrawn_proposal_is_proposed_again(stores: Stores, state: ProposalState) -> None:
    """What a person decided stands; what lost its users may get others, under the same text."""
    first, now = a_proposal("alice", "bob", "carol"), START + timedelta(days=1)
    stores.sharing.add_proposals([first])
    decided = replace(first, state=state, decided_at=START, decided_by="eve", memory_id=said("").id)
    stores.sharing.update_proposal(decided, ProposalState.PROPOSED)

    again = replace(a_proposal("dave", "erin", "frank"), proposed_at=now, statement="Other case")
    added = stores.sharing.add_proposals([again])

    renewed = replace(
        again, statement=STATEMENT, decided_at=None, decided_by=None, memory_id=decided.memory_id
    )
    is_renewed = state is ProposalState.WITHDRAWN
    assert ([first.id] if is_renewed else []) == added
    assert (renewed if is_renewed else decided) == stores.sharing.find_proposal("acme", first.id)


def test_proposals_are_listed_by_state_page_by_page(stores: Stores) -> None:
    """In the order of their ids, of one tenant."""
    made = [a_proposal("a", "b", "c", statement=f"Port {n} is taken.") for n in range(5)]
    stores.sharing.add_proposals(made)
    stores.sharing.add_proposals([a_proposal("a", "b", "c", tenant="globex")])
    stores.sharing.update_proposal(
        replace(made[0], state=ProposalState.REJECTED), ProposalState.PROPOSED
    )
    proposed = sorted((item.id for item in made[1:]), key=lambda key: key.bytes)
    states = (ProposalState.PROPOSED,)

    first = stores.sharing.list_proposals("acme", states, None, 3)
    rest = stores.sharing.list_proposals("acme", states, first[-1].id, 3)

    assert proposed == [item.id for item in (*first, *rest)]
    assert 5 == len(stores.sharing.list_proposals("acme", ALL, None, 10))
    assert 1 == len(stores.sharing.list_proposals("globex", ALL, None, 10))


def test_shared_memory_keeps_its_users_and_exchanges_its_evidence(stores: Stores) -> None:
    """What it rests on can change while it stands; that it did is in the log."""
    cited = [said(user) for user in ("alice", "bob", "carol")]
    proposal = a_proposal("alice", "bob", "carol")
    opened = open_shared(proposal, cited, None, vector_of(STATEMENT), START)
    everyone = Owner.everyone("acme")
    stores.commit(everyone, opened)
    (shared,) = opened.final_states().values()
    assert [shared] == stores.memories.load_memories(everyone, [shared.id])

    others = [said(user) for user in ("bob", "carol", "dave", "erin")]
    recounted = open_shared(replace(proposal, users=4), others, shared, shared.vector, START)
    stores.commit(everyone, recounted)

    (change,) = recounted.changes
    assert isinstance(change, Recount)
    (found,) = stores.memories.load_memories(everyone, [shared.id])
    assert (4, 2, {item.evidence[0] for item in others}) == (
        found.users,
        found.version,
        set(found.evidence),
    )
    events = stores.memories.read_events("acme", shared.id)
    assert ["memory_inserted", "memory_recounted"] == [event.name for event in events]


def test_scan_reads_only_what_it_needs_when_there_are_many(database_url: str) -> None:
    """A scan follows an index: its cost is the part, not the table."""
    database = Database(database_url)
    fill = """
        INSERT INTO memories (id, tenant_id, user_id, scope, session_id, statement, statement_key,
            subject, kind, importance, state, valid_from, confirmed_at, version, distilled_by,
            embedding, updated_at)
        SELECT gen_random_uuid(), 'tenant-' || n % 20, 'user-' || n % 500, 'user', 's',
            'Port ' || n % 4000 || ' is taken.', 'port ' || n % 4000 || ' is taken', 'Port',
            'lesson', 0.5, 'active', now(), now(), 1, 'test/1', '', now()
        FROM generate_series(1, 20000) AS n
    """
    statements: list[Select[Any]] = [
        select_last_key("tenant-3", "", 100),
        select_repeated_keys("tenant-3", GlobalPolicy(), "2", "3"),
        select_supporters("tenant-3", ["0" * 32, "1" * 32]),
    ]
    with database.transaction() as connection:
        connection.execute(text(fill))
        connection.execute(text("ANALYZE memories"))
        for statement in statements:
            sql = statement.compile(database.engine, compile_kwargs={"literal_binds": True})
            plan = "\n".join(connection.execute(text(f"EXPLAIN {sql}")).scalars())
            assert "memories_by_statement" in plan
            assert "Seq Scan" not in plan
    database.close()
