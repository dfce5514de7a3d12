"""Procedures on PostgreSQL: versions, outcomes, look-up, what is learned, and what is forgotten."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import delete

from config.policy import Handling, PersonalDataPolicy, PersonalKind
from pipelines.adapters.postgres import Database, PostgresProcedures
from pipelines.adapters.postgres.tables import memories
from pipelines.errors import InputError, NotFound
from pipelines.flows.procedures import LearnProcedures, Procedures
from pipelines.model import Kind, MemoryId, MemoryState, Owner, Scope
from pipelines.outcome import Done
from pipelines.ports.procedures import Telling
from pipelines.stages.procedures import ProcedureId
from pipelines.testing.procedures import InMemoryProcedures
from pipelines.testing.surroundings import ManualClock
from tests.builders import START

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from pipelines.ports.procedures import ProcedureStore

ALICE, BOB = Owner("acme", "alice"), Owner("acme", "bob")
EVERYONE = Owner.everyone("acme")
PERSONAL_DATA = PersonalDataPolicy(tenants={"acme": {PersonalKind.EMAIL: Handling.MASK}})
DEPLOY = "Deploy the billing service"
HOW = "Ana: To deploy the billing service, run make build, then push the tag."


class Place:
    """A store, and the memories that it learns from."""

    def __init__(self, store: ProcedureStore, database: Database | None) -> None:
        self.store = store
        self.database = database

    def remember(
        self,
        statement: str,
        kind: Kind,
        owner: Owner = ALICE,
        *,
        at: datetime = START,
        scope: Scope = Scope.USER,
    ) -> MemoryId:
        """A memory, as if it had been distilled."""
        key = MemoryId(uuid.uuid4())
        if isinstance(self.store, InMemoryProcedures):
            # The rest is what a store leaves out by itself.
            if scope is not Scope.SESSION and owner == owner.live:
                self.store.memories[key] = Telling(key, owner, kind, statement, at)
            return key
        assert self.database is not None
        with self.database.transaction() as connection:
            connection.execute(memories.insert(), _row(key, statement, kind, owner, at, scope))
        return key

    def forget(self, key: MemoryId) -> None:
        if isinstance(self.store, InMemoryProcedures):
            del self.store.memories[key]
            return
        assert self.database is not None
        with self.database.transaction() as connection:
            connection.execute(delete(memories).where(memories.c.id == key))


@pytest.fixture(params=["memory", "postgres"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "memory":
        yield Place(InMemoryProcedures(), None)
        return
    database = Database(request.getfixturevalue("database_url"))
    yield Place(PostgresProcedures(database), database)
    database.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def procedures(place: Place, clock: ManualClock) -> Procedures:
    return Procedures(place.store, clock, PERSONAL_DATA)


def _row(  # noqa: PLR0917 - a row
    key: MemoryId, statement: str, kind: Kind, owner: Owner, at: datetime, scope: Scope
) -> dict[str, object]:
    return {
        "id": key,
        "tenant_id": owner.tenant_id,
        "user_id": owner.user_id,
        "scope": scope.value,
        "session_id": "s",
        "statement": statement,
        "statement_key": statement,
        "subject": "user",
        "kind": kind.value,
        "importance": 0.6,
        "state": MemoryState.ACTIVE.value,
        "valid_from": at,
        "confirmed_at": at,
        "version": 1,
        "distilled_by": "test",
        "embedding": b"",
        "updated_at": at,
    }


def _learn(procedures: Procedures) -> dict[str, int]:
    done = LearnProcedures(procedures.store).run()
    assert isinstance(done, Done)
    return done.counts


def test_other_steps_make_a_new_version_with_its_own_counts(
    procedures: Procedures, clock: ManualClock
) -> None:
    """Nothing is overwritten: the old version keeps its steps and outcomes."""
    first = procedures.put(ALICE, DEPLOY, ["make", "push"])
    assert first == procedures.put(ALICE, "deploy billing service", ["make", "push"])
    procedures.record(ALICE, first.id, "run-1", worked=False)
    clock.advance(timedelta(days=1))
    second = procedures.put(ALICE, DEPLOY, ["make", "test", "push"], expected_version=1)
    counted = procedures.record(ALICE, first.id, "run-2", worked=True)
    again = procedures.record(ALICE, first.id, "run-2", worked=True)
    assert (second.version, counted) == (2, again)
    found = procedures.store.list_versions("acme", first.id)
    shown = [(item.version, item.steps[1], item.successes, item.failures) for item in found]
    assert shown == [(2, "test", 1, 0), (1, "push", 0, 1)]
    assert [2 / 3, 1 / 3] == [item.success_rate for item in found]
    late = procedures.record(ALICE, first.id, "run-3", worked=False, version=1)
    assert (late.version, late.failures) == (1, 2)


def test_what_does_not_fit_is_refused_and_changes_nothing(procedures: Procedures) -> None:
    """An old version, a key that says the opposite, what is not there or another's."""
    made = procedures.put(ALICE, DEPLOY, ["make"])
    procedures.record(ALICE, made.id, "run-1", worked=True)
    with pytest.raises(InputError, match="expected_version"):
        procedures.put(ALICE, DEPLOY, ["other"], expected_version=0)
    with pytest.raises(InputError, match="opposite"):
        procedures.record(ALICE, made.id, "run-1", worked=False)
    with pytest.raises(InputError, match="key"):
        procedures.record(ALICE, made.id, "", worked=False)
    for owner, key, version in (
        (BOB, made.id, None),
        (ALICE, ProcedureId(uuid.uuid4()), None),
        (ALICE, made.id, 2),
        (Owner("other", "alice"), made.id, None),
    ):
        with pytest.raises(NotFound):
            procedures.record(owner, key, "run-2", worked=True, version=version)
    with pytest.raises(NotFound):
        procedures.store.list_versions("acme", made.id, "bob")
    [found] = procedures.store.list_versions("acme", made.id, "alice")
    assert (found.steps, found.successes, found.failures) == (("make",), 1, 0)


def test_procedures_are_found_by_name_and_words_and_a_users_own_comes_first(
    procedures: Procedures,
) -> None:
    """Most words first, then what works best; of others' only what is everyone's."""
    shared = procedures.put(EVERYONE, DEPLOY, ["ask the release team"])
    own = procedures.put(ALICE, DEPLOY, ["make", "push the tag"])
    rotate = procedures.put(ALICE, "Rotate keys", ["run rotate.sh for billing"])
    procedures.put(BOB, "Deploy everything", ["push"])
    procedures.record(ALICE, shared.id, "run-1", worked=True)
    store = procedures.store
    assert own == store.find_named(ALICE, "deploy the billing service!")
    named = store.find_named(BOB, DEPLOY)
    assert named is not None
    assert (named.id, named.successes) == (shared.id, 1)
    # The same key of another user is another outcome.
    assert procedures.record(BOB, shared.id, "run-1", worked=False).failures == 1
    assert procedures.record(BOB, shared.id, "run-2", worked=True).successes == 2
    assert store.find_named(ALICE, "unknown") is None
    found = procedures.search(ALICE, "how did we push billing tags?", 10)
    assert [item.id for item in found] == [own.id, shared.id, rotate.id]
    assert len(procedures.search(ALICE, "", 10)) == 3
    assert procedures.search(ALICE, "?!", 10) == []
    assert procedures.search(Owner("other", "alice"), "billing", 10) == []


def test_no_secret_is_kept_in_a_procedure(procedures: Procedures) -> None:
    """What the agent writes down is redacted as transcripts are."""
    secret = "ghp_" + "aB3" * 12
    made = procedures.put(ALICE, DEPLOY, [f"clone with {secret}"])
    assert secret not in made.steps[0]
    with pytest.raises(InputError, match="key"):
        procedures.record(ALICE, made.id, secret, worked=True)


def test_personal_data_in_a_procedure_is_handled_as_its_tenant_wants(
    procedures: Procedures,
) -> None:
    """In name and steps; it is found by the name under which it was saved, too."""
    name, steps = "Report to ana@example.com", ["write to ana@example.com", "copy bo@example.com"]

    made = procedures.put(ALICE, name, steps)

    assert ("Report to [email]", ("write to [email]", "copy [email]")) == (made.name, made.steps)
    assert made == procedures.find_named(ALICE, name) == procedures.put(ALICE, name, steps)
    elsewhere = procedures.put(Owner("other", "alice"), name, steps)
    assert (name, tuple(steps)) == (elsewhere.name, elsewhere.steps)


def test_procedures_and_outcomes_are_learned_from_memories_once(
    procedures: Procedures, place: Place
) -> None:
    """What names its aim is kept, results are counted where they are meant, each with its proof."""
    how = place.remember(HOW, Kind.PROCEDURE)
    at = START + timedelta(days=1)
    worked = place.remember("Ana: Deploying the billing service worked.", Kind.OUTCOME, at=at)
    failed = place.remember(
        "The billing service deploy failed as the tag was old.", Kind.LESSON, at=at
    )
    place.remember("The search deploy failed.", Kind.LESSON, at=at)
    place.remember("Deploying the billing service worked.", Kind.OUTCOME, BOB, at=at)
    place.remember(HOW, Kind.PROCEDURE, BOB, scope=Scope.SESSION)
    place.remember(HOW, Kind.PROCEDURE, Owner("acme\x1fshadow", "alice"))
    assert _learn(procedures) == {"learned": 1, "counted": 2, "passed": 2, "forgotten": 0}
    [found] = procedures.search(ALICE, "billing", 10)
    assert found.steps == ("run make build", "push the tag")
    assert (found.learned_from, set(found.cites)) == (how, {worked, failed})
    assert (found.successes, found.failures) == (1, 1)
    assert procedures.search(BOB, "billing", 10) == []
    assert not any(_learn(procedures).values())


def test_an_outcome_counts_for_the_version_of_its_time(
    procedures: Procedures, place: Place
) -> None:
    """Also where it is told before the procedure that it is about is known."""
    day = timedelta(days=1)
    result = "Deploying the billing service failed."
    place.remember(result, Kind.OUTCOME, at=START + day)
    place.remember(f"{result[:-1]} again.", Kind.OUTCOME, at=START + 3 * day)
    place.remember(f"{result[:-1]} early.", Kind.OUTCOME, at=START - day)
    assert _learn(procedures)["passed"] == 3
    place.remember(HOW, Kind.PROCEDURE)
    changed = "To deploy the billing service, run make all, then push the tag."
    place.remember(changed, Kind.PROCEDURE, at=START + 2 * day)
    place.remember("To deploy the billing service, guess.", Kind.PROCEDURE, at=START - day)
    _learn(procedures)
    _learn(procedures)
    [newest] = procedures.search(ALICE, "billing", 10)
    versions = procedures.store.list_versions("acme", newest.id)
    assert newest.steps[0] == "run make all"
    assert [1] * 2 == [item.failures for item in versions if item.steps[0].startswith("run")]


def test_what_rests_on_a_memory_goes_when_the_memory_is_gone(
    procedures: Procedures, place: Place
) -> None:
    """A count without its source is not kept, and neither are steps that nobody said."""
    how = place.remember(HOW, Kind.PROCEDURE)
    at = START + timedelta(days=1)
    told = place.remember("Deploying the billing service worked.", Kind.OUTCOME, at=at)
    _learn(procedures)
    for gone, left in ((told, [0]), (how, [])):
        place.forget(gone)
        assert _learn(procedures)["forgotten"] == 2
        assert left == [item.successes for item in procedures.search(ALICE, "", 10)]
