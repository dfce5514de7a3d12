"""Real flows on a real database, of one worker that can be interrupted and one that cannot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from config.operation import RetryPolicy
from config.policy import DistillPolicy, Policies
from pipelines.adapters.model_distiller import ModelDistiller
from pipelines.adapters.postgres import (
    PostgresErasures,
    PostgresInbox,
    PostgresLedger,
    PostgresMemoryStore,
    PostgresOutbox,
    PostgresReplies,
    PostgresSharing,
    PostgresVerdicts,
    PostgresWorkTable,
)
from pipelines.adapters.postgres.event_log import PostgresEventLog
from pipelines.adapters.postgres.log_snapshots import PostgresLogSnapshots
from pipelines.adapters.postgres.tables import metadata
from pipelines.errors import IndexUnavailable, ModelUnavailable, QueueUnavailable, StoreUnavailable
from pipelines.flows.consolidate import Consolidate
from pipelines.flows.distill import Distill
from pipelines.flows.erase import Erase
from pipelines.flows.event_log import CheckEvents
from pipelines.flows.ingest import Ingest
from pipelines.flows.project import Project
from pipelines.flows.recall import Recall
from pipelines.flows.share import Share
from pipelines.flows.snapshots import SnapshotEvents
from pipelines.flows.sweep import Sweep
from pipelines.testing.index import InMemoryIndex
from pipelines.testing.lifecycle import InMemoryUseCounter
from pipelines.testing.models import HashEmbedder, OneDistiller
from pipelines.testing.sessions import InMemorySessions
from pipelines.testing.surroundings import ManualClock, RecordingWaker
from tests.builders import PROMPT
from tests.interleavings.faults import Interruption, Watched
from tests.interleavings.story import ScriptedModel
from workers.retry import judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipelines.adapters.postgres import Database
    from pipelines.ports import ChatReply, Hold, PaidFor, Subject

PRESENT = datetime(2026, 6, 1, tzinfo=UTC)
# A write that is refused for a moment is repeated once, without any wait to speak of.
RETRY = RetryPolicy(patience=timedelta(milliseconds=1))
POLICIES = Policies(retry=RETRY)


class NoStream:
    """``SubjectStream`` that nobody pushes on."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    def mark(self) -> datetime:
        return self._clock.now()

    def remove(self, subject: Subject, until: datetime) -> int:
        del subject, until
        return 0

    def count(self, subject: Subject, until: datetime) -> int:
        del subject, until
        return 0

    def compact(self) -> None:
        """Nothing is there."""


class Replies(PostgresReplies):
    """Answers that were paid for; one that is stored is never asked for again.

    Attributes:
        kept: The requests whose answers are stored, by all processes together.
    """

    def __init__(self, database: Database, ledger: PostgresLedger, kept: set[str]) -> None:
        super().__init__(database, ledger)
        self.kept = kept

    def find_reply(self, request_hash: str) -> ChatReply | None:
        found = super().find_reply(request_hash)
        assert found is not None or request_hash not in self.kept
        return found

    def keep_reply(
        self, request_hash: str, reply: ChatReply, paid_for: PaidFor, hold: Hold
    ) -> None:
        super().keep_reply(request_hash, reply, paid_for, hold)
        self.kept.add(request_hash)


@dataclass(frozen=True, slots=True)
class Worker:
    """The flows of one process."""

    ingest: Ingest
    distill: Distill
    consolidate: Consolidate
    project: Project
    erase: Erase
    snapshots: SnapshotEvents


class World:
    """Everything that outlives a process, and what reads it without changing it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.clock = ManualClock(PRESENT)
        self.waker = RecordingWaker()
        self.index = InMemoryIndex()
        self.model = ScriptedModel()
        self.store = PostgresMemoryStore(database)
        self.inbox = PostgresInbox(database)
        self.embedder = HashEmbedder()
        self.uses = InMemoryUseCounter()
        self.recall = Recall(
            self.store,
            self.index,
            self.embedder,
            self.embedder,
            self.uses,
            self.clock,
            POLICIES.rank,
        )
        self.sweep = Sweep(PostgresWorkTable(database), self.waker, self.clock)
        self.check_events = CheckEvents(PostgresEventLog(database))
        self.kept: set[str] = set()
        self._empty()

    def make_worker(self, interruption: Interruption | None = None) -> Worker:
        """A process of its own; with an interruption, things can happen at each of its calls."""
        watch = partial(_watch, interruption)
        inbox, store = watch(self.inbox, StoreUnavailable), watch(self.store, StoreUnavailable)
        index = watch(self.index, IndexUnavailable)
        waker = watch(self.waker, QueueUnavailable)
        outbox = watch(PostgresOutbox(self.database, POLICIES.passage), StoreUnavailable)
        verdicts = watch(PostgresVerdicts(self.database), StoreUnavailable)
        erasures = watch(PostgresErasures(self.database), StoreUnavailable)
        consolidate = Consolidate(
            store, index, self.embedder, verdicts, None, waker, self.clock, POLICIES
        )
        sharing = PostgresSharing(self.database)
        share = Share(store, sharing, self.embedder, waker, self.clock, POLICIES)
        return Worker(
            ingest=Ingest(inbox, waker, self.clock),
            distill=Distill(
                inbox,
                OneDistiller(self._make_distiller(watch)),
                waker,
                self.clock,
                lease=POLICIES.lease.distill,
                max_attempts=RETRY.max_attempts,
                judge=partial(judge, policy=RETRY),
                max_deaths=RETRY.max_deaths,
                patience=RETRY.patience,
            ),
            consolidate=consolidate,
            project=Project(outbox, index, self.clock, retry=RETRY),
            erase=Erase(
                erasures, store, index, NoStream(self.clock), (InMemorySessions(),), consolidate,
                share, waker, self.clock, POLICIES,
            ),
            snapshots=SnapshotEvents(
                PostgresEventLog(self.database),
                watch(PostgresLogSnapshots(self.database), StoreUnavailable),
                self.clock,
                replace(POLICIES.archive, snapshot_each=2),
            ),
        )  # fmt: skip

    def forget_answers(self) -> None:
        """What was erased may be asked for again."""
        with self.database.transaction() as connection:
            stored = connection.execute(text("SELECT request_hash FROM replies")).scalars()
            self.kept &= set(stored)

    def _make_distiller(self, watch: Callable[[object, type[Exception]], Any]) -> ModelDistiller:
        ledger = PostgresLedger(self.database, POLICIES.budget, self.clock)
        replies = watch(Replies(self.database, ledger, self.kept), StoreUnavailable)
        return ModelDistiller(watch(self.model, ModelUnavailable), replies, PROMPT, DistillPolicy())

    def _empty(self) -> None:
        names = ", ".join(table.name for table in metadata.sorted_tables)
        with self.database.transaction() as connection:
            connection.execute(text(f"TRUNCATE {names} CASCADE"))


def _watch(interruption: Interruption | None, port: object, away: type[Exception]) -> Any:  # noqa: ANN401 - in the place of the port
    if interruption is None:
        return port
    return Watched(port, interruption, lambda: away("away for a moment"))
