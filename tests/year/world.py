"""A whole memstill in one process, whose clock is told the time."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from tenacity import retry, retry_if_exception_type, stop_after_attempt, wait_fixed

from config.settings import Settings
from memstill_client.wire import parse_transcript
from pipelines.errors import DependencyUnavailable
from pipelines.flows.recall import Question
from pipelines.model import MemoryId, Owner
from pipelines.outcome import Snoozed
from pipelines.testing.surroundings import ManualClock
from workers.app import make_app
from workers.container import Container, open_container
from workers.jobs import jobs_of
from workers.payloads import to_transcript
from workers.queues import BACKFILL, QUEUES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from config.schedule import Job

# Long before anybody runs this: what asks the machine for the time finds everything due.
START = datetime(2024, 1, 1, 8, tzinfo=UTC)
TENANT = "default"
_AT_ONCE = 10_000
# As a worker does: a server, or the whole machine, may be away for a moment of so long a campaign.
_patiently = retry(
    retry=retry_if_exception_type(DependencyUnavailable),
    wait=wait_fixed(1),
    # Not by the time, which goes on where the machine stands still.
    stop=stop_after_attempt(60),
    reraise=True,
)


@dataclass(frozen=True, slots=True)
class Size:
    """How large everything is on a day.

    Attributes:
        rows: By table.
        bytes: Of all tables with their indexes, as they are on disk, by table.
        points: In the vector index.
    """

    day: int
    rows: Mapping[str, int]
    bytes: Mapping[str, int]
    points: int

    @property
    def megabytes(self) -> float:
        """Of the whole database."""
        return sum(self.bytes.values()) / 1e6


@dataclass(frozen=True, slots=True)
class World:
    """The flows of workers, called in the order in which their wake-ups would come."""

    container: Container
    clock: ManualClock

    @_patiently
    def push(self, sessions: Sequence[Mapping[str, Any]]) -> None:
        """Take sessions of one user in, and bring them all the way into memories."""
        now = self.clock.now()
        transcripts = [
            to_transcript(
                parse_transcript(json.dumps(session).encode(), now=now, max_bytes=1_000_000),
                default_tenant=TENANT,
            )
            for session in sessions
        ]
        self.container.ingest.run(transcripts)
        for transcript in transcripts:
            self.container.distill.run(transcript.id)
        self.container.consolidate.run(transcripts[0].owner)

    @_patiently
    def recall(self, user_id: str, query: str) -> list[MemoryId]:
        """What an agent is told."""
        told = self.container.recall.run(Question(Owner(TENANT, user_id), query, 5, 200))
        return [item.memory.id for item in told.memories]

    @_patiently
    def project(self) -> None:
        """Bring the index up to date."""
        self.container.project.run()

    @_patiently
    def run(self, job: Job) -> Mapping[str, int]:
        """Run a job to its end, as a worker would."""
        jobs = jobs_of(self.container)
        outcome = jobs.run(job)
        while isinstance(outcome, Snoozed):
            outcome = jobs.run(job)
        return getattr(outcome, "counts", {})

    def advance(self, by: timedelta) -> None:
        """Let time pass; whoever would have been woken has been looked after."""
        self.clock.advance(by)
        with self.container.ingest.waker._waker._app.connection_for_write() as connection:  # type: ignore[attr-defined]
            for queue in {*QUEUES.values(), BACKFILL}:
                connection.default_channel.queue_purge(queue)

    def query(self, statement: str, **values: object) -> list[Any]:
        """Rows of the database."""
        with self.container.database.transaction() as connection:
            return list(connection.execute(text(statement), values))

    def measure(self, day: int) -> Size:
        """How large everything is."""
        with self.container.database.engine.connect() as connection:
            apart = connection.execution_options(isolation_level="AUTOCOMMIT")
            apart.execute(text("VACUUM"))
        tables = self.query(
            "SELECT relname, pg_total_relation_size(relid) FROM pg_stat_user_tables"
            " WHERE schemaname = current_schema()"
        )
        rows = {name: self.query(f'SELECT count(*) FROM "{name}"')[0][0] for name, _ in tables}
        filled = {name: count for name, count in rows.items() if count}
        sizes = {name: size for name, size in tables if name in filled}
        return Size(day, filled, sizes, self._count_points())

    def _count_points(self) -> int:
        found, after = 0, None
        while page := self.container.index.scan(after, _AT_ONCE):
            found, after = found + len(page), page[-1].memory_id
        return found


@dataclass(frozen=True, slots=True)
class Place:
    """Where a world keeps what it has; several processes may be in one."""

    database_url: str
    redis_url: str
    key_prefix: str
    archive: Path


@contextmanager
def open_world(place: Place, kind: type[Settings] = Settings) -> Iterator[World]:
    """One that stands at the beginning of its first day."""
    settings = kind.model_validate(
        {
            "database_url": place.database_url,
            "redis_url": place.redis_url,
            "key_prefix": place.key_prefix,
            "index_url": "pgvector",
            "archive_url": f"file://{place.archive}",
        }
    )
    clock = ManualClock(START)
    container = open_container(settings, make_app(settings), clock)
    try:
        yield World(container, clock)
    finally:
        container.close()
