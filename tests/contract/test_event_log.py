"""What the event log says is what the tables have, whatever happened to a user's memories."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from config.decay import DecayPolicy
from config.policy import Policies
from pipelines.adapters.postgres import (
    Database,
    PostgresErasures,
    PostgresInbox,
    PostgresMemoryStore,
)
from pipelines.adapters.postgres.decay import PostgresFading
from pipelines.adapters.postgres.event_log import PostgresEventLog
from pipelines.adapters.postgres.generation_moves import _TRADED, _hand_over
from pipelines.adapters.postgres.log_snapshots import PostgresLogSnapshots
from pipelines.adapters.postgres.pins import PostgresPins, keep_decisions
from pipelines.adapters.postgres.tables import memories
from pipelines.adapters.postgres.uses import PostgresUses
from pipelines.errors import LeaseLost, NewerFormat, NotFound, OwnerBusy, VersionConflict
from pipelines.flows.event_log import CheckEvents, RewriteMemories
from pipelines.flows.history import History
from pipelines.flows.snapshots import SnapshotEvents
from pipelines.model import Memory, MemoryState, Owner, Scope
from pipelines.plan import Demote, Insert, Plan, Promote, Refile, Reinforce, Restore, Supersede
from pipelines.ports import CountedUses, Erasure, ErasureId, ErasureState, Rewriting, Subject
from pipelines.stages.event_log import FIELDS
from pipelines.testing.models import HashEmbedder
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import (
    ALICE,
    BOB,
    START,
    day,
    make_evidence,
    make_fact,
    make_memory,
    make_transcript,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.plan import Change

LEASE = timedelta(minutes=5)
POLICY = DecayPolicy()
STATEMENTS = ("Lives in Oslo.", "Lives in Porto.", "Likes tea.", "Plays chess.", "Has a boat.")
PLACES = range(3)


class World:
    """Whatever changes the memories of a user, and the log that tells of it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock(START)
        self.store = PostgresMemoryStore(database)
        self.fading, self.pins = PostgresFading(database), PostgresPins(database)
        self.uses, self.log = PostgresUses(database), PostgresEventLog(database)
        self.waker = RecordingWaker()
        self.check = CheckEvents(self.log)
        often = replace(Policies().archive, snapshot_each=2)
        snapshots = PostgresLogSnapshots(database)
        self.snapshots = SnapshotEvents(self.log, snapshots, self.clock, often)
        self.rewrite = RewriteMemories(
            self.log, self.store, HashEmbedder(), self.waker, self.clock, Policies()
        )

    def commit(self, *changes: Change) -> None:
        owner = changes[0].memory.owner
        self.store.mark_owner_due(owner, self.clock.now())
        claim = self.store.claim_owner(owner, self.clock.now(), LEASE)
        assert claim is not None
        # The first change of a memory says what was read.
        read = {change.memory.id: change.memory.version - 1 for change in reversed(changes)}
        known = {key: version for key, version in read.items() if version}
        self.store.commit_plan(claim, Plan(changes, known), self.clock.now())
        self.store.release_owner(claim, None, self.clock.now())

    def memories(self, owner: Owner = ALICE) -> list[Memory]:
        return self.store.export_memories(*owner.names, None, 1_000)

    def differences(self) -> list[tuple[str, ...]]:
        found = self.check.run("acme", None, 100)
        return [item.what for each in found.divergent for item in each.found]

    def execute(self, statement: str, **values: Any) -> None:  # noqa: ANN401
        with self.database.transaction() as connection:
            connection.execute(text(statement), values)


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    database = Database(database_url, pool_size=2)
    yield World(database)
    database.close()


def memory_of(statement: str, **changes: Any) -> Memory:  # noqa: ANN401 - any field
    return make_memory(make_fact(statement, session=statement, importance=0.5), **changes)


# ---- any sequence --------------------------------------------------------------------------------

any_memory = st.integers(0, 9)


class Lives(RuleBasedStateMachine):
    """Memories of one user, changed in all the ways that there are."""

    world: World

    def __init__(self) -> None:
        super().__init__()
        self.owner = Owner("acme", str(uuid.uuid4()))
        self.said = 0

    def _choose(self, number: int) -> Memory | None:
        found = self.world.memories(self.owner)
        return found[number % len(found)] if found else None

    def _said(self, memory: Memory, place: int) -> Any:  # noqa: ANN401
        first = memory.evidence[0] if memory.evidence else None
        receipt = first.transcript_id if first else make_fact(memory.statement).transcript_id
        return make_evidence(f"said {place}", receipt=receipt, index=place, at=day(place))

    @rule(statement=st.sampled_from(STATEMENTS), is_promoted=st.booleans())
    def insert(self, statement: str, *, is_promoted: bool) -> None:
        """A fact becomes a memory, and perhaps the user's in the same plan."""
        self.said += 1
        fact = make_fact(
            statement, owner=self.owner, session=f"s{self.said}", attribute="city", value="Oslo"
        )
        memory = make_memory(fact, scope=Scope.SESSION if is_promoted else Scope.USER)
        wider = replace(memory, scope=Scope.USER, version=2)
        promoted = (Promote(wider, Scope.SESSION, "important"),) if is_promoted else ()
        self.world.commit(Insert(memory), *promoted)

    @rule(number=any_memory, place=st.sampled_from(PLACES))
    def reinforce(self, number: int, place: int) -> None:
        """It is said again."""
        if (memory := self._choose(number)) is not None:
            said = self._said(memory, place)
            after = replace(memory, evidence=(*memory.evidence, said), version=memory.version + 1)
            self.world.commit(Reinforce(after, (said,)))

    @rule(number=any_memory, place=st.sampled_from(PLACES))
    def refile(self, number: int, place: int) -> None:
        """What it rested on goes elsewhere, and something else comes."""
        if (memory := self._choose(number)) is not None:
            said = self._said(memory, place)
            after = replace(memory, evidence=(said,), version=memory.version + 1)
            self.world.commit(Refile(after, memory.evidence[:1], (said,)))

    @rule(number=any_memory, other=any_memory)
    def supersede(self, number: int, other: int) -> None:
        """Another one takes its place, or it holds again."""
        memory, successor = self._choose(number), self._choose(other)
        if memory is None or successor is None:
            return
        if memory.state is MemoryState.ACTIVE:
            after = replace(
                memory,
                state=MemoryState.SUPERSEDED,
                valid_to=day(3),
                superseded_by=successor.id,
                version=memory.version + 1,
            )
            self.world.commit(Supersede(after))
        else:
            after = replace(memory, state=MemoryState.ACTIVE, version=memory.version + 1)
            self.world.commit(Restore(replace(after, valid_to=None, superseded_by=None)))

    @rule(number=any_memory)
    def demote(self, number: int) -> None:
        """It is the session's again."""
        if (memory := self._choose(number)) is not None:
            after = replace(memory, scope=Scope.SESSION, version=memory.version + 1)
            self.world.commit(Demote(after, memory.scope, "alone"))

    @rule(number=any_memory, pinned=st.booleans())
    def pin(self, number: int, *, pinned: bool) -> None:
        """A person wants it kept, or lets it go."""
        if (memory := self._choose(number)) is not None:
            now = self.world.clock.now()
            self.world.pins.pin("acme", memory.id, now, pinned=pinned)

    @rule(number=any_memory)
    def bring_back(self, number: int) -> None:
        """A person wants it told, or it was used before."""
        if (memory := self._choose(number)) is not None:
            now = self.world.clock.now()
            if number % 2:
                self.world.pins.bring_back("acme", memory.id, now)
            else:
                counted = CountedUses(str(uuid.uuid4()), {memory.id: 1}, {memory.id: now})
                self.world.uses.add_uses(counted, now)

    @rule()
    def evict(self) -> None:
        """What has faded goes out of the index."""
        self.world.clock.advance(timedelta(days=2_000, microseconds=100_000))
        keys, now = (
            [memory.id for memory in self.world.memories(self.owner)],
            self.world.clock.now(),
        )
        self.world.fading.evict(keys, now, POLICY)

    @rule()
    def purge(self) -> None:
        """What was evicted long ago is deleted."""
        self.world.clock.advance(timedelta(days=31))
        now = self.world.clock.now()
        keys = self.world.fading.find_purgeable(now - POLICY.grace, 10)
        self.world.fading.purge_memories(keys, now)

    @rule()
    def sum_up(self) -> None:
        """What is known is told from here on."""
        self.world.snapshots.run()

    @invariant()
    def log_says_what_the_tables_have(self) -> None:
        """After every step."""
        assert () == self.world.check.run_user(self.owner).divergent


def test_log_says_what_the_tables_have_whatever_happened(world: World) -> None:
    """Plans, evictions, pins, uses and purges, in any order."""

    @hypothesis.seed(3)
    class Machine(Lives):
        pass

    Machine.world = world
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=6,
            stateful_step_count=20,
            deadline=None,
            database=None,
            derandomize=True,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )


# ---- comparing -----------------------------------------------------------------------------------


def test_difference_names_what_differs(world: World) -> None:
    """A field, evidence, a memory that is missing, and one that nothing tells of."""
    tea, boat, chess, oslo = (memory_of(statement) for statement in STATEMENTS[1:])
    for memory in (tea, boat, chess, oslo):
        world.commit(Insert(memory))
    assert [] == world.differences()

    changed = "UPDATE memories SET statement = 'x', pinned = true WHERE id = :key"
    world.execute(changed, key=tea.id)
    world.execute("UPDATE evidence SET quote = 'x' WHERE memory_id = :key", key=boat.id)
    world.execute("DELETE FROM memories WHERE id = :key", key=chess.id)
    world.execute("DELETE FROM events WHERE memory_id = :key", key=oslo.id)

    assert sorted([("statement", "pinned"), ("evidence",), ("missing",), ("surplus",)]) == sorted(
        world.differences()
    )


def test_users_are_compared_one_page_after_another(world: World) -> None:
    """Everyone's memories, too; the last page says that it is the last."""
    for owner in (Owner.everyone("acme"), ALICE, BOB):
        world.commit(Insert(make_memory(make_fact("Likes tea.", owner=owner))))

    first = world.check.run("acme", None, 2)
    second = world.check.run("acme", first.after, 2)

    assert (2, "alice", 1, None) == (first.users, first.after, second.users, second.after)
    assert 3 == first.memories + second.memories


def test_log_of_a_newer_release_is_not_read(world: World) -> None:
    """It is left to one that knows what it says."""
    world.commit(Insert(memory_of("Likes tea.")))
    world.execute("UPDATE events SET schema_version = 2")

    with pytest.raises(NewerFormat):
        world.check.run_user(ALICE)


# ---- writing the tables anew ---------------------------------------------------------------------


def test_tables_are_written_from_the_log_where_they_differ(world: World) -> None:
    """With vectors, evidence and the words it is found by; what is right is not touched."""
    tea, boat, chess = (memory_of(text) for text in ("Likes tea.", "Has a boat.", "Plays chess."))
    for memory in (tea, boat, chess):
        world.commit(Insert(memory))
    world.execute("UPDATE evidence SET words = 'kept'")
    before = {memory.id: memory for memory in world.memories()}
    world.execute("DELETE FROM outbox")
    world.execute("DELETE FROM memories WHERE id = :key", key=tea.id)
    world.execute("UPDATE memories SET state = 'merged' WHERE id = :key", key=boat.id)

    done = world.rewrite.run(ALICE)

    after = {memory.id: memory for memory in world.memories()}
    assert (2, 0) == (done.written, done.removed)
    assert before == after
    assert (after[boat.id].vector == before[boat.id].vector).all()
    (vector,) = HashEmbedder().embed(["Likes tea."])
    assert (after[tea.id].vector == vector).all()
    with world.database.transaction() as connection:
        told = connection.execute(text("SELECT memory_id FROM outbox")).scalars().all()
        words = connection.execute(text("SELECT words FROM evidence ORDER BY 1")).scalars().all()
    assert {tea.id, boat.id} == set(told)
    assert ["kept", "kept", None] == list(words)
    assert [] == world.differences()
    assert (0, 0) == (world.rewrite.run(ALICE).written, world.rewrite.run(ALICE).removed)


def test_memory_that_the_log_does_not_know_goes_and_its_facts_are_open_again(
    world: World,
) -> None:
    """They are consolidated anew, and logged."""
    tea = memory_of("Likes tea.")
    world.commit(Insert(tea))
    world.execute("DELETE FROM events")

    done = world.rewrite.run(ALICE)

    assert (0, 1) == (done.written, done.removed)
    assert [] == world.memories()
    assert world.waker.index_wakes


def test_tables_are_not_written_while_somebody_else_works_on_the_user(world: World) -> None:
    """Nor from a log that went on meanwhile."""
    tea = memory_of("Likes tea.")
    world.commit(Insert(tea))
    world.store.mark_owner_due(ALICE, START)
    claim = world.store.claim_owner(ALICE, START, LEASE)
    assert claim is not None

    with pytest.raises(OwnerBusy):
        world.rewrite.run(ALICE)
    read = world.log.read_log(ALICE)
    world.pins.pin("acme", tea.id, START, pinned=True)
    with pytest.raises(VersionConflict):
        world.log.rewrite(claim, Rewriting(read.latest, [tea], [tea.id], []), START)
    lost = replace(claim, fence=claim.fence - 1)
    with pytest.raises(LeaseLost):
        world.log.rewrite(lost, Rewriting(read.latest, [tea], [tea.id], []), START)


# ---- what happens beside plans -------------------------------------------------------------------


def test_pin_that_goes_over_to_another_generation_is_logged(world: World) -> None:
    """The log of who takes it over says so."""
    shadow = Owner("acme\x1fnext", "alice")
    kept = memory_of("Likes tea.", pinned=True)
    heir = make_memory(make_fact("Likes tea.", owner=shadow))
    world.commit(Insert(kept))
    world.commit(Insert(heir))

    for _ in range(2):
        with world.database.transaction() as connection:
            keep_decisions(connection, ALICE, shadow, day(1))

    assert world.store.find_memory(shadow.tenant_id, heir.id).pinned
    assert () == world.check.run_user(shadow).divergent
    names = [event.name for event in world.store.read_events(shadow.tenant_id, heir.id)]
    assert ["memory_inserted", "memory_pinned"] == names


def test_forgotten_memory_stays_forgotten_in_another_generation(world: World) -> None:
    """In the same words; what only faded is told there."""
    shadow = Owner("acme\x1fnext", "alice")
    for number, statement in enumerate(("Likes tea.", "Likes milk.")):
        world.commit(Insert(memory_of(statement)))
        world.commit(Insert(make_memory(make_fact(statement, owner=shadow, ordinal=number))))
    tea, milk = memory_of("Likes tea."), memory_of("Likes milk.")
    world.pins.forget("acme", tea.id, START)
    world.fading.evict([milk.id], day(2_000), POLICY)

    for _ in range(2):
        with world.database.transaction() as connection:
            keep_decisions(connection, ALICE, shadow, day(1))

    heirs = world.store.export_memories(shadow.tenant_id, "alice", None, 10)
    told = {heir.statement: heir.evicted_at for heir in heirs}
    assert {"Likes tea.": day(1), "Likes milk.": None} == told
    assert () == world.check.run_user(shadow).divergent


def test_generation_takes_snapshots_and_events_along_with_memories(world: World) -> None:
    """What is told of either owner is what they have now."""
    shadow = Owner("acme\x1fprevious", "alice")
    tea = memory_of("Likes tea.")
    world.commit(Insert(tea))
    world.pins.pin("acme", tea.id, START, pinned=True)
    world.snapshots.run()
    world.execute("DELETE FROM events")

    with world.database.transaction() as connection:
        for table in _TRADED:
            _hand_over(connection, table, ALICE, shadow)

    assert () == world.check.run_user(ALICE).divergent
    assert () == world.check.run_user(shadow).divergent
    assert [tea.id] == list(world.log.read_log(shadow).start)


def test_history_of_a_memory_that_was_purged_is_told_from_the_log(world: World) -> None:
    """To its user and its tenant, and to nobody else; as it was last."""
    tea = memory_of("Likes tea.")
    world.commit(Insert(tea))
    world.fading.evict([tea.id], day(2_000), POLICY)
    world.fading.purge_memories([tea.id], day(2_040))
    history = History(world.store)

    told = history.run("acme", tea.id, "alice")

    assert ("Likes tea.", ALICE, tea.evidence) == (
        told.memory.statement,
        told.memory.owner,
        told.memory.evidence,
    )
    assert ["memory_inserted", "memory_evicted", "memory_purged"] == [
        event.name for event in told.events
    ]
    assert told == history.run("acme", tea.id)
    for tenant_id, user_id in (("acme", "bob"), ("other", None)):
        with pytest.raises(NotFound):
            history.run(tenant_id, tea.id, user_id)


def test_erased_session_is_told_of_neither_by_what_was_purged_nor_by_what_was_released(
    world: World,
) -> None:
    """What else the log tells goes on being what the tables have."""
    tea, boat = memory_of("Likes tea."), memory_of("Has a boat.")
    (cited,) = tea.evidence
    both = replace(boat, evidence=(*boat.evidence, cited))
    world.commit(Insert(tea))
    world.commit(Insert(both))
    world.commit(Refile(replace(boat, version=2), (cited,)))
    world.fading.evict([tea.id], day(2_000), POLICY)
    world.fading.purge_memories([tea.id], day(2_040))
    transcript = make_transcript("Likes tea.", session="Likes tea.", key="Likes tea.")
    PostgresInbox(world.database).accept([transcript], START)

    PostgresErasures(world.database).begin(an_erasure(Subject(ALICE, "Likes tea.")), LEASE)

    assert [] == world.differences()
    assert [boat.id] == [memory.id for memory in world.memories()]
    with world.database.transaction() as connection:
        told = connection.execute(text("SELECT body::text FROM events")).scalars().all()
    assert [] == [body for body in told if "tea" in body]
    with pytest.raises(NotFound):
        History(world.store).run("acme", tea.id)


def an_erasure(subject: Subject) -> Erasure:
    return Erasure(
        id=ErasureId(uuid.uuid4()),
        tenant_id="acme",
        subject_key=subject.key,
        subject=subject,
        state=ErasureState.PURGING,
        requested_at=day(3_000),
        requested_by="test",
        mark_at=day(3_000),
        due_at=day(3_000),
    )


def test_log_says_all_that_a_row_says() -> None:
    """A new column is told by the log, or named here with good reason."""
    follows = {"statement_key", "embedding"}
    beside = {"id", "tenant_id", "user_id", "updated_at"}

    assert {*FIELDS} == {column.name for column in memories.c} - follows - beside
