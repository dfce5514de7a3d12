"""Proposing, approving, rejecting and withdrawing what is everyone's."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from config.policy import GlobalPolicy, Policies
from pipelines.errors import InputError, NotFound, OwnerBusy
from pipelines.flows.share import Scanned, Share
from pipelines.model import Evidence, Kind, Memory, MemoryState, Owner, Scope
from pipelines.outcome import Done
from pipelines.plan import Insert, Plan, Supersede
from pipelines.stages.sharing.share import ProposalState, proposal_id, shared_memory_id
from pipelines.testing.models import HashEmbedder
from pipelines.testing.sharing import InMemorySharing
from pipelines.testing.stores import InMemoryStores
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import START, make_fact, make_memory

if TYPE_CHECKING:
    from pipelines.model import MemoryId
    from pipelines.stages.sharing.share import Proposal

LEASE = timedelta(minutes=5)
STATEMENT = "PgBouncer breaks prepared statements."
EVERYONE = Owner.everyone("acme")
NOTHING = Scanned()


class World:
    """The users of two tenants, and the flow that shares what they say."""

    def __init__(self, *users: str, policy: GlobalPolicy | None = None) -> None:
        self.stores, self.clock, self.waker = InMemoryStores(), ManualClock(START), RecordingWaker()
        self.sharing = InMemorySharing(self.stores)
        self.share = Share(
            self.stores,
            self.sharing,
            HashEmbedder(),
            self.waker,
            self.clock,
            Policies(sharing=policy or GlobalPolicy()),
        )
        for user in users:
            self.say(user)

    def say(self, user: str, statement: str = STATEMENT, tenant: str = "acme") -> None:
        fact = make_fact(
            statement,
            owner=Owner(tenant, user),
            subject="PgBouncer",
            kind=Kind.LESSON,
            session=statement,
        )
        self.commit(Insert(make_memory(fact)))

    def lose(self, user: str, statement: str = STATEMENT) -> None:
        """Another session of the user contradicts it."""
        (memory,) = [item for item in self.memories(user) if item.statement == statement]
        closed = replace(memory, state=MemoryState.SUPERSEDED, version=memory.version + 1)
        self.commit(Supersede(closed), {memory.id: memory.version})

    def commit(self, change: Insert | Supersede, read: dict[MemoryId, int] | None = None) -> None:
        owner, now = change.memory.owner, self.clock.now()
        self.stores.mark_owner_due(owner, now)
        claim = self.stores.claim_owner(owner, now, LEASE)
        assert claim is not None
        self.stores.commit_plan(claim, Plan((change,), read or {}), now)
        self.stores.release_owner(claim, None, now)

    def memories(self, user: str, tenant: str = "acme") -> list[Memory]:
        return self.stores.export_memories(tenant, user, None, 100)

    def evidence_of(self, *users: str) -> set[Evidence]:
        return {item for user in users for item in self.memories(user)[0].evidence}

    @property
    def shared(self) -> list[str]:
        """What is everyone's now."""
        return [item.statement for item in self.memories("") if item.state is MemoryState.ACTIVE]

    @property
    def proposal(self) -> Proposal:
        (found,) = self.sharing.list_proposals("acme", tuple(ProposalState), None, 10)
        return found

    def approved(self) -> Proposal:
        self.share.scan("acme")
        return self.share.approve("acme", self.proposal.id, "eve")


def test_scan_proposes_what_three_users_say_and_shares_nothing() -> None:
    """A proposal is no memory; scanning again changes nothing."""
    world = World("alice", "bob", "carol")

    assert Scanned(proposed=1) == world.share.scan("acme")
    assert NOTHING == world.share.scan("acme")

    assert (STATEMENT, 3, ProposalState.PROPOSED) == (
        world.proposal.statement,
        world.proposal.users,
        world.proposal.state,
    )
    assert [] == world.shared


def test_scan_proposes_nothing_when_two_users_say_it() -> None:
    """Neither here nor by adding up tenants."""
    world = World("alice", "bob")
    world.say("carol", tenant="globex")

    assert NOTHING == world.share.scan("acme")
    assert NOTHING == world.share.scan("globex")


def test_scan_looks_at_everything_however_small_its_parts_are() -> None:
    """Many statements, one memory a part."""
    world = World(policy=GlobalPolicy(batch=1))
    for number in range(7):
        for user in ("alice", "bob", "carol"):
            world.say(user, f"Port {number} is taken.")

    assert Scanned(proposed=7) == world.share.scan("acme")


def test_scan_withholds_what_is_personal() -> None:
    """However many users say it."""
    world = World()
    for user in ("alice", "bob", "carol"):
        world.say(user, "Write to ops@example.com first.")

    assert NOTHING == world.share.scan("acme")


def test_approval_makes_it_everyones() -> None:
    """Exactly the proposal's words, of global scope, resting on each user's evidence."""
    world = World("alice", "bob", "carol")

    approved = world.approved()

    (memory,) = world.memories("")
    assert (STATEMENT, Scope.GLOBAL, EVERYONE, 3, "") == (
        memory.statement,
        memory.scope,
        memory.owner,
        memory.users,
        memory.session_id,
    )
    assert (ProposalState.APPROVED, "eve", START, memory.id) == (
        approved.state,
        approved.decided_by,
        approved.decided_at,
        approved.memory_id,
    )
    assert world.evidence_of("alice", "bob", "carol") == set(memory.evidence)
    assert approved == world.proposal
    assert 1 == world.waker.index_wakes


def test_approval_changes_nothing_when_it_is_repeated() -> None:
    """Whoever repeats it; the first decision stands."""
    world = World("alice", "bob", "carol")
    first = world.approved()
    world.clock.advance(timedelta(hours=1))

    again = world.share.approve("acme", first.id, "mallory")

    assert first == again == world.proposal
    assert [1] == [memory.version for memory in world.memories("")]


def test_approval_is_completed_when_a_crash_cut_it_off() -> None:
    """The decision was stored, the memory was not: the next scan makes it good."""
    world = World("alice", "bob", "carol")
    world.share.scan("acme")
    proposal = world.proposal
    decided = replace(
        proposal, state=ProposalState.APPROVED, memory_id=shared_memory_id(proposal.id)
    )
    world.sharing.update_proposal(decided, ProposalState.PROPOSED)

    assert Scanned(updated=1) == world.share.scan("acme")
    assert [STATEMENT] == world.shared
    assert NOTHING == world.share.scan("acme")


def test_approval_is_refused_when_too_few_users_say_it_now() -> None:
    """What was true at the scan must be true at the approval."""
    world = World("alice", "bob", "carol")
    world.share.scan("acme")
    world.lose("carol")

    with pytest.raises(InputError, match="2 users now; it takes 3"):
        world.share.approve("acme", world.proposal.id, "eve")
    assert [] == world.shared


def test_approval_is_refused_when_the_proposal_is_another_tenants() -> None:
    """An id alone opens nothing."""
    world = World("alice", "bob", "carol")
    world.share.scan("acme")

    with pytest.raises(NotFound):
        world.share.approve("globex", world.proposal.id, "eve")
    with pytest.raises(NotFound):
        world.share.reject("globex", world.proposal.id, "eve")


def test_decision_waits_when_somebody_else_decides() -> None:
    """One decision of a tenant at a time."""
    world = World("alice", "bob", "carol")
    world.share.scan("acme")
    world.stores.mark_owner_due(EVERYONE, START)
    claim = world.stores.claim_owner(EVERYONE, START, LEASE)
    assert claim is not None

    with pytest.raises(OwnerBusy):
        world.share.approve("acme", world.proposal.id, "eve")
    assert ProposalState.PROPOSED == world.proposal.state

    world.stores.release_owner(claim, None, START)
    world.share.approve("acme", world.proposal.id, "eve")
    assert [STATEMENT] == world.shared


def test_rejection_is_for_good() -> None:
    """It is not proposed again, however many say it; a person may think again."""
    world = World("alice", "bob", "carol")
    world.share.scan("acme")
    rejected = world.share.reject("acme", world.proposal.id, "eve")
    world.say("dave")

    assert NOTHING == world.share.scan("acme")
    assert rejected == world.proposal == world.share.reject("acme", rejected.id, "mallory")
    assert (ProposalState.REJECTED, "eve") == (rejected.state, rejected.decided_by)
    world.share.approve("acme", rejected.id, "eve")
    assert [STATEMENT] == world.shared


def test_rejection_takes_an_approved_one_back() -> None:
    """The shared memory ends now, and stays as history."""
    world = World("alice", "bob", "carol")
    world.approved()
    world.clock.advance(timedelta(days=1))

    world.share.reject("acme", world.proposal.id, "eve")

    (memory,) = world.memories("")
    assert (MemoryState.SUPERSEDED, START + timedelta(days=1)) == (memory.state, memory.valid_to)
    assert NOTHING == world.share.scan("acme")


def test_scan_withdraws_what_too_few_users_still_say() -> None:
    """One of three is contradicted: it is not everyone's any more, and the log says since when."""
    world = World("alice", "bob", "carol")
    world.approved()
    world.clock.advance(timedelta(days=1))
    world.lose("bob")

    assert Scanned(withdrawn=1) == world.share.scan("acme")

    (memory,) = world.memories("")
    assert (MemoryState.SUPERSEDED, START + timedelta(days=1)) == (memory.state, memory.valid_to)
    assert (ProposalState.WITHDRAWN, 2, None) == (
        world.proposal.state,
        world.proposal.users,
        world.proposal.decided_by,
    )
    events = world.stores.read_events("acme", memory.id)
    assert ["memory_inserted", "memory_superseded"] == [event.name for event in events]
    assert NOTHING == world.share.scan("acme")


def test_scan_withdraws_a_proposal_nobody_decided_on() -> None:
    """What too few say is not shown for approval."""
    world = World("alice", "bob", "carol")
    world.share.scan("acme")
    world.lose("bob")
    world.lose("carol")

    assert Scanned(withdrawn=1) == world.share.scan("acme")
    assert (ProposalState.WITHDRAWN, 1) == (world.proposal.state, world.proposal.users)


def test_withdrawn_statement_is_proposed_and_approved_anew() -> None:
    """Enough users say it again: it needs a new approval, and is the same memory then."""
    world = World("alice", "bob", "carol")
    world.approved()
    world.lose("bob")
    world.share.scan("acme")
    world.say("dave")
    world.clock.advance(timedelta(days=1))

    assert Scanned(proposed=1) == world.share.scan("acme")
    assert [] == world.shared
    world.share.approve("acme", world.proposal.id, "eve")

    (memory,) = world.memories("")
    assert (MemoryState.ACTIVE, None, 3) == (memory.state, memory.valid_to, memory.users)
    assert world.evidence_of("alice", "carol", "dave") == set(memory.evidence)


def test_scan_counts_the_users_of_a_shared_memory_anew() -> None:
    """One more, one other: it stays everyone's and rests on who says it now."""
    world = World("alice", "bob", "carol")
    world.approved()
    world.say("dave")
    assert Scanned(updated=1) == world.share.scan("acme")
    assert [4] == [memory.users for memory in world.memories("")]

    world.lose("alice")
    assert Scanned(updated=1) == world.share.scan("acme")

    (memory,) = world.memories("")
    said = world.evidence_of("bob", "carol", "dave")
    assert (3, said, MemoryState.ACTIVE) == (memory.users, set(memory.evidence), memory.state)
    assert 3 == world.proposal.users
    assert NOTHING == world.share.scan("acme")


def test_shared_memory_cites_no_more_than_the_policy_says() -> None:
    """However many users say it."""
    users = [f"u{number}" for number in range(8)]
    world = World(*users, policy=GlobalPolicy(max_cited=5))

    world.approved()

    (memory,) = world.memories("")
    assert (8, 5) == (memory.users, len(memory.evidence))


def test_text_stays_what_was_approved_when_users_say_it_otherwise() -> None:
    """A person answers for these words and no others."""
    world = World("alice", "bob", "carol")
    world.share.scan("acme")
    for user in ("dave", "erin", "frank", "grace"):
        world.say(user, "pgbouncer breaks the prepared statements!")
    world.share.scan("acme")

    world.share.approve("acme", world.proposal.id, "eve")

    assert [STATEMENT] == world.shared
    assert [7] == [memory.users for memory in world.memories("")]


def test_run_scans_every_tenant_although_one_is_busy() -> None:
    """Tenants do not wait for each other."""
    world = World("alice", "bob", "carol")
    world.approved()
    world.lose("bob")
    for user in ("alice", "bob", "carol"):
        world.say(user, tenant="globex")
    world.stores.mark_owner_due(EVERYONE, START)
    assert world.stores.claim_owner(EVERYONE, START, LEASE) is not None

    outcome = world.share.run()

    assert Done({"proposed": 1, "updated": 0, "withdrawn": 0}) == outcome
    assert [] == world.waker.tenants


def test_run_goes_on_in_a_new_wake_up_when_its_turn_is_over() -> None:
    """A scan of many tenants holds no worker up, and ends."""
    world = World(policy=GlobalPolicy(turn=timedelta(0)))
    for tenant in ("acme", "globex"):
        for user in ("alice", "bob", "carol"):
            world.say(user, tenant=tenant)

    after, seen = "", []
    for _ in range(3):
        world.share.run(after)
        seen = world.waker.tenants
        after = seen[-1]

    assert ["acme", "globex"] == seen
    for tenant in ("acme", "globex"):
        assert 1 == len(world.sharing.list_proposals(tenant, tuple(ProposalState), None, 10))


def test_unknown_proposal_is_not_found() -> None:
    """An id that nobody proposed."""
    with pytest.raises(NotFound):
        World().share.approve("acme", proposal_id("acme", STATEMENT, "PgBouncer"), "eve")
