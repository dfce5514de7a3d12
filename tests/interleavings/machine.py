"""Any order of pushes, deliveries, deaths and outages; what must hold holds after every step."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import hypothesis
from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text

from pipelines.errors import MemstillError, ModelRefused, ModelUnavailable
from pipelines.flows.recall import Question
from pipelines.model import Lane, MemoryState, Owner
from pipelines.ports import Subject
from tests.fuzzing.rows import find_broken, find_misquoted
from tests.interleavings.faults import Fault, Interruption
from tests.interleavings.story import CITIES, LIKES, Saying, expected, outline
from tests.interleavings.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.adapters.postgres import Database
    from pipelines.model import ReceiptId, Transcript

OWNERS = (Owner("acme", "alice"), Owner("acme", "bob"), Owner("globex", "alice"))
MEANWHILE = ("overtaken", "consolidated", "projected", "pushed again", "erased")
DAYS = 12
ROUNDS = 200
STEPS = 30

owners = st.sampled_from(OWNERS)
sayings = st.builds(
    Saying,
    number=st.integers(0, DAYS),
    home=st.sampled_from((None, *CITIES)),
    likes=st.lists(st.sampled_from(LIKES), max_size=2, unique=True).map(tuple),
    key=st.sampled_from((None, None, None, "k1", "k2")),
)
faults = st.none() | st.builds(
    Fault,
    at=st.integers(0, 19),
    what=st.sampled_from(("dies", "dies", "dies", "away", "away", *MEANWHILE)),
)
waits = st.sampled_from(
    (timedelta(seconds=1), timedelta(seconds=61), timedelta(minutes=6), timedelta(hours=2))
)


class Interleavings(RuleBasedStateMachine):
    """Workers of three users, two of one tenant and two of one name."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.database)
        self.interruption = Interruption(self._happen_meanwhile)
        self.worker = self.world.make_worker(self.interruption)
        self.other = self.world.make_worker()
        # What was pushed, whether or not it was answered; what was answered.
        self.pushed: dict[ReceiptId, Transcript] = {}
        self.acknowledged: set[ReceiptId] = set()
        self.conflicts: set[ReceiptId] = set()
        self.latest: tuple[Owner, Saying] | None = None
        self.erasures = 0

    # ---- what happens -----------------------------------------------------------------------

    @rule(owner=owners, said=st.lists(sayings, min_size=1, max_size=3), fault=faults)
    def push(self, owner: Owner, said: list[Saying], fault: Fault | None) -> None:
        """Sessions end; perhaps ones that were pushed before, or others under their keys."""
        batch = [saying.transcript_of(owner) for saying in said]
        self.latest = (owner, said[-1])
        with self.interruption.of(fault), suppress(MemstillError):
            for transcript in batch:
                self.pushed.setdefault(transcript.id, transcript)
            before = self.erasures
            answers = self.worker.ingest.run(batch)
            if before == self.erasures:
                for transcript, answer in zip(batch, answers, strict=True):
                    self._acknowledge(transcript, answer.receipt)

    @precondition(lambda self: self.pushed)
    @rule(data=st.data(), fault=faults)
    def distill(self, data: st.DataObject, fault: Fault | None) -> None:
        """A wake-up for some session arrives, whether or not there is anything to do."""
        receipt = data.draw(st.sampled_from(sorted(self.pushed)))
        self._do(lambda: self.worker.distill.run(receipt), fault)

    @rule(fault=faults)
    def distill_next(self, fault: Fault | None) -> None:
        """A worker takes whose turn it is."""
        self._do(lambda: self.worker.distill.run_next(Lane.INTERACTIVE), fault)

    @rule(owner=owners, fault=faults)
    def consolidate(self, owner: Owner, fault: Fault | None) -> None:
        """A wake-up for some user arrives."""
        self._do(lambda: self.worker.consolidate.run(owner), fault)

    @rule(fault=faults)
    def project(self, fault: Fault | None) -> None:
        """A wake-up for the index arrives."""
        self._do(self.worker.project.run, fault)

    @rule(failure=st.sampled_from(("garbage", "busy", "refused")))
    def model_fails(self, failure: str) -> None:
        """The next call is answered with garbage, or not at all."""
        answers: dict[str, Exception | str] = {
            "garbage": '{"facts": [{',
            "busy": ModelUnavailable("429"),
            "refused": ModelRefused("401", status=401),
        }
        self.world.model.next_failures.append(answers[failure])

    @rule(by=waits)
    def wait(self, by: timedelta) -> None:
        """Leases run out, delays pass."""
        self.world.clock.advance(by)

    @rule(fault=faults)
    def sweep(self, fault: Fault | None) -> None:
        """What is due is woken; here the wake-ups are lost. Event logs are summed up."""
        self._do(self.world.sweep.run, fault)
        self.other.snapshots.run()

    @rule(owner=owners, session=st.none() | st.integers(0, DAYS), fault=faults)
    def erase(self, owner: Owner, session: int | None, fault: Fault | None) -> None:
        """A user, or one session of theirs, is to be forgotten; whoever is not answered asks on."""
        subject = Subject(owner, None if session is None else f"s{session}")
        with self.interruption.of(fault), suppress(MemstillError):
            self.worker.erase.start(subject, "test")
        self._erase(subject)

    @rule(owner=owners, like=st.sampled_from(LIKES), number=st.none() | st.integers(0, DAYS))
    def recall(self, owner: Owner, like: str, number: int | None) -> None:
        """Nothing of anybody else, nothing that does not hold, nothing that was erased."""
        session = None if number is None else f"s{number}"
        asked = Question(owner, f"Who likes {like} in Oslo?", 20, 1_000, session)
        said = {message.content for item in self._of(owner) for message in item.messages}
        for item in self.world.recall.run(asked).memories:
            assert owner == item.memory.owner
            assert MemoryState.ACTIVE is item.memory.state
            assert item.memory.statement in said
            assert {quote.transcript_id for quote in item.memory.evidence} <= self.pushed.keys()

    # ---- what others do meanwhile -----------------------------------------------------------

    def _happen_meanwhile(self, what: str) -> None:
        if what == "overtaken":
            # The worker was frozen so long that others took it for dead.
            self.world.clock.advance(timedelta(minutes=6))
            self._work_off()
        elif what == "consolidated":
            for owner in OWNERS:
                self.other.consolidate.run(owner)
        elif what == "projected":
            self.other.project.run()
        elif what == "pushed again" and self.latest is not None:
            owner, saying = self.latest
            transcript = saying.transcript_of(owner)
            self.pushed.setdefault(transcript.id, transcript)
            (answer,) = self.other.ingest.run([transcript])
            self._acknowledge(transcript, answer.receipt)
        elif what == "erased" and self.latest is not None:
            self._erase(Subject(self.latest[0]))

    def _do(self, work: Callable[[], object], fault: Fault | None) -> None:
        """As a task does it: a server that is away ends it, and the row keeps the work."""
        with self.interruption.of(fault), suppress(MemstillError):
            note(f"{fault} -> {work()}")

    def _acknowledge(self, transcript: Transcript, receipt: ReceiptId) -> None:
        if receipt == transcript.id:
            self.acknowledged.add(receipt)
        else:
            self.conflicts.add(receipt)

    def _erase(self, subject: Subject) -> None:
        self.other.erase.start(subject, "test")
        self.erasures += 1
        gone = {
            key
            for key, item in self.pushed.items()
            if item.owner == subject.owner
            and (subject.session_id is None or item.session_id == subject.session_id)
        }
        self.pushed = {key: item for key, item in self.pushed.items() if key not in gone}
        self.acknowledged -= gone
        self.conflicts = {key for key in self.conflicts if self.world.inbox.find_owner(key)}
        self.world.forget_answers()

    def _work_off(self) -> None:
        """Everything that a sweep wakes now, done by a worker that nothing happens to."""
        waker = self.world.waker
        waker.receipts.clear()
        waker.owners.clear()
        self.world.sweep.run()
        for receipt in tuple(waker.receipts):
            self.other.distill.run(receipt)
        for owner in dict.fromkeys(waker.owners):
            self.other.consolidate.run(owner)
        self.other.project.run()

    # ---- what must hold ---------------------------------------------------------------------

    def _of(self, owner: Owner) -> list[Transcript]:
        return [item for item in self.pushed.values() if item.owner == owner]

    @invariant()
    def rows_agree(self) -> None:
        """No half-written state, at no moment."""
        assert [] == find_broken(self.database, is_settled=False)

    @invariant()
    def nothing_acknowledged_is_lost(self) -> None:
        """Whatever was answered has its row."""
        assert self.acknowledged | self.conflicts <= self._stored().keys()

    @invariant()
    def every_answer_is_booked(self) -> None:
        """No call for which there was an answer (``Replies`` sees to that), and none unpaid."""
        with self.database.transaction() as connection:
            stored, booked = connection.execute(
                text("SELECT (SELECT count(*) FROM replies), (SELECT sum(calls) FROM ledger)")
            ).one()
        assert stored <= (booked or 0)

    def teardown(self) -> None:
        """When all is quiet, the memories are those of one session after another."""
        self.world.model.next_failures.clear()
        for _ in range(ROUNDS):
            self._work_off()
            if self._is_quiet():
                break
            self.world.clock.advance(timedelta(minutes=10))
        self._check_end()

    def _is_quiet(self) -> bool:
        return not find_broken(self.database, is_settled=True)

    def _check_end(self) -> None:
        assert [] == find_broken(self.database, is_settled=True)
        assert [] == find_misquoted(self.database)
        self.nothing_acknowledged_is_lost()
        states = self._stored()
        assert {"dead"} >= {states[key] for key in self.conflicts}
        for owner in OWNERS:
            kept = [item for item in self._of(owner) if states.get(item.id) == "done"]
            rows = self.world.store.export_memories(*owner.names, None, 1_000)
            assert expected(kept) == outline(rows)
            indexed = [row for row in rows if row.state is not MemoryState.MERGED]
            assert len(indexed) == self.world.index.count(owner)
            assert () == self.world.check_events.run_user(owner).divergent

    def _stored(self) -> dict[ReceiptId, str]:
        with self.database.transaction() as connection:
            rows = connection.execute(text("SELECT receipt, state FROM transcripts"))
            return {row.receipt: row.state for row in rows}


def run_interleavings(database: Database, examples: int, seed: int | None) -> None:
    """Try so many; without a seed always the same ones.

    Raises:
        AssertionError: What must hold did not, with the shortest story that shows it.
    """

    @hypothesis.seed(seed or 0)
    class Machine(Interleavings):
        pass

    Machine.database = database
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=STEPS,
            deadline=None,
            database=None,
            derandomize=seed is None,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        ),
    )
