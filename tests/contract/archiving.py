"""A user whose memories have a past, for tests of what moves it into the archive."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from config.retention import ArchivePolicy
from config.retrieval import PassagePolicy
from pipelines.adapters.archive_files import ArchivedFiles
from pipelines.adapters.postgres import (
    Database,
    PostgresErasures,
    PostgresInbox,
    PostgresMemoryStore,
)
from pipelines.adapters.postgres.event_log import PostgresEventLog
from pipelines.adapters.postgres.log_snapshots import PostgresLogSnapshots
from pipelines.adapters.postgres.old_events import PostgresOldEvents
from pipelines.adapters.postgres.old_sessions import PostgresOldSessions
from pipelines.adapters.postgres.retention import PostgresRetention
from pipelines.flows.archive import ArchiveOld, RestoreArchived
from pipelines.flows.event_log import CheckEvents
from pipelines.flows.snapshots import SnapshotEvents
from pipelines.plan import Insert, Plan, Reinforce
from pipelines.ports import (
    ArchivedKind,
    Erasure,
    ErasureId,
    ErasureState,
    Subject,
)
from pipelines.stages.event_log import fold
from pipelines.testing.surroundings import ManualClock
from tests.builders import (
    ALICE,
    START,
    day,
    make_evidence,
    make_fact,
    make_memory,
    make_transcript,
)

if TYPE_CHECKING:
    from pipelines.model import Memory, Owner, ReceiptId
    from pipelines.outcome import Outcome
    from pipelines.plan import Change
    from pipelines.ports import Archive

LEASE = timedelta(minutes=5)
POLICY = replace(ArchivePolicy(), snapshot_each=3, least_events=2, least_sessions=1, batch=4)
LATER = day(100)


class World:
    """A user whose memories have a past."""

    def __init__(self, database: Database, archive: Archive) -> None:
        self.database, self.archive = database, archive
        self.clock = ManualClock(START)
        self.store, self.inbox = PostgresMemoryStore(database), PostgresInbox(database)
        self.log = PostgresEventLog(database)
        self.files = ArchivedFiles(archive)
        self.events = PostgresOldEvents(database, POLICY.least_events)
        self.sessions = PostgresOldSessions(database, POLICY.least_sessions)
        self.snapshots = SnapshotEvents(
            self.log, PostgresLogSnapshots(database), self.clock, POLICY
        )
        rows = {ArchivedKind.EVENTS: self.events, ArchivedKind.SESSIONS: self.sessions}
        self.job = ArchiveOld(self.files, rows, self.clock, POLICY)  # type: ignore[arg-type]
        self.restore = RestoreArchived(self.files, self.events, self.snapshots)

    def commit(self, *changes: Change, at: Any = START) -> None:  # noqa: ANN401
        owner = changes[0].memory.owner
        self.store.mark_owner_due(owner, at)
        claim = self.store.claim_owner(owner, at, LEASE)
        assert claim is not None
        versions = {change.memory.id: change.memory.version - 1 for change in changes}
        read = {key: version for key, version in versions.items() if version}
        self.store.commit_plan(claim, Plan(changes, read), at)
        self.store.release_owner(claim, None, at)

    def live(self, *statements: str, owner: Owner = ALICE) -> list[Memory]:
        """Each statement is said twice, in a session of its own: two events."""
        made = []
        for statement in statements:
            fact = make_fact(statement, owner=owner, session=statement)
            memory = make_memory(fact)
            said = make_evidence("again", receipt=fact.transcript_id, session="more", index=9)
            after = replace(memory, evidence=(*memory.evidence, said), version=2)
            self.commit(Insert(memory))
            self.commit(Reinforce(after, (said,)))
            made.append(after)
        return made

    def finish_sessions(self, *names: str) -> list[ReceiptId]:
        """Sessions that were done at once with nothing worth keeping, their text gone."""
        receipts = []
        for name in names:
            transcript = make_transcript("hello", session=name, key=name)
            self.inbox.accept([transcript], START)
            claim = self.inbox.claim_transcript(transcript.id, START, LEASE)
            assert claim is not None
            self.inbox.commit_distilled(claim, [], [], START)
            receipts.append(transcript.id)
        PostgresRetention(self.database, PassagePolicy()).strip_transcripts(day(9), 99)
        return receipts

    def archive_old(self, at: Any = LATER) -> Outcome:  # noqa: ANN401
        self.clock.at = at
        self.snapshots.run()
        return self.job.run()

    def told(self, owner: Owner = ALICE) -> Any:  # noqa: ANN401
        assert () == CheckEvents(self.log).run_user(owner).divergent
        read = self.log.read_log(owner)
        return fold(read.entries, read.start)

    def numbers(self) -> list[int]:
        return self.query("SELECT seq FROM events ORDER BY 1")

    def query(self, statement: str, **values: Any) -> list[Any]:  # noqa: ANN401
        with self.database.transaction() as connection:
            return list(connection.execute(text(statement), values).scalars())

    def cut_off(self) -> None:
        """Have the server give up on whoever stands still in a transaction."""
        self.query(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND state = 'idle in transaction'"
        )

    def erase(self, subject: Subject) -> Erasure:
        erasure = Erasure(
            id=ErasureId(uuid.uuid4()),
            tenant_id="acme",
            subject_key=subject.key,
            subject=subject,
            state=ErasureState.PURGING,
            requested_at=day(200),
            requested_by="test",
            mark_at=day(200),
            due_at=day(200),
        )
        return PostgresErasures(self.database).begin(erasure, LEASE).erasure
