"""Memories in PostgreSQL and an index beside them, with what keeps the two together."""

from __future__ import annotations

import itertools
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from qdrant_client import QdrantClient

from config.operation import ReconcilePolicy
from config.retrieval import PassagePolicy
from pipelines.adapters.pgvector import PgvectorIndex
from pipelines.adapters.postgres import (
    Database,
    PostgresIndexTruth,
    PostgresMemoryStore,
    PostgresOutbox,
    PostgresRebuilds,
    PostgresRounds,
)
from pipelines.adapters.qdrant_edge import EdgeIndex
from pipelines.adapters.qdrant_server import QdrantServerIndex
from pipelines.flows.gated import GatedIndex
from pipelines.flows.project import Project
from pipelines.flows.reconcile import Reconcile, ReconcileRounds
from pipelines.flows.reindex import Reindex
from pipelines.flows.tend import TendIndex
from pipelines.model import MemoryState, Owner
from pipelines.plan import Insert, Plan, Refile, Reinforce
from tests.builders import START, make_fact, make_memory, vector_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipelines.model import Memory, MemoryId
    from pipelines.plan import Change
    from pipelines.ports import IndexedPoint, Rebuild, RebuildableIndex

SIZE = 8
LEASE = timedelta(minutes=1)
TURN = timedelta(seconds=5)
MOST_TURNS = 200
OWNERS = tuple(Owner("acme", f"user{number}") for number in range(4))


class RealClock:
    """The time as it is."""

    def now(self) -> datetime:
        return datetime.now(UTC)


@dataclass(slots=True)
class CountingWaker:
    """Counts what it is asked for."""

    index: int = 0

    def wake_index(self) -> None:
        self.index += 1


@dataclass(slots=True)
class IndexWorld:
    """Everything on one database and one index."""

    database: Database
    live: RebuildableIndex
    policy: ReconcilePolicy
    clock: RealClock = field(default_factory=RealClock)
    waker: CountingWaker = field(default_factory=CountingWaker)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def rebuilds(self) -> PostgresRebuilds:
        return PostgresRebuilds(self.database)

    @property
    def truth(self) -> PostgresIndexTruth:
        return PostgresIndexTruth(self.database)

    @property
    def store(self) -> PostgresMemoryStore:
        return PostgresMemoryStore(self.database)

    @property
    def index(self) -> GatedIndex:
        return GatedIndex(self.live, self.rebuilds)

    @property
    def project(self) -> Project:
        return Project(PostgresOutbox(self.database, PassagePolicy()), self.index, self.clock)

    @property
    def reconcile(self) -> Reconcile:
        return Reconcile(self.truth, self.index, self.waker, self.clock, self.policy)  # type: ignore[arg-type]

    @property
    def reindex(self) -> Reindex:
        return Reindex(self.truth, self.live, self.rebuilds, self.project, self.clock, self.policy)

    @property
    def tend(self) -> TendIndex:
        rounds = PostgresRounds(self.database)
        return TendIndex(
            self.reindex,
            ReconcileRounds(self.reconcile, rounds, self.clock, self.policy),
            self.policy,
        )

    def insert(self, count: int, owner: Owner = OWNERS[0]) -> list[Memory]:
        """New memories, which wait for being projected."""
        with self._lock:
            numbers = list(itertools.islice(self._numbers, count))
        facts = [
            make_fact(f"tea {number}", owner=owner, session=f"s{number}") for number in numbers
        ]
        made = [make_memory(fact, vector_of(fact.statement, SIZE)) for fact in facts]
        self._commit(owner, [Insert(memory) for memory in made], {})
        return made

    def change(self, *memories: Memory) -> list[Memory]:
        """One more version of each, which waits for being projected."""
        changed = [replace(memory, version=memory.version + 1) for memory in memories]
        self._write(memories, [Reinforce(memory, ()) for memory in changed])
        return changed

    def merge(self, *memories: Memory) -> None:
        """Give them a state that has no point."""
        merged = [
            replace(memory, version=memory.version + 1, state=MemoryState.MERGED, evidence=())
            for memory in memories
        ]
        self._write(memories, [Refile(memory, ()) for memory in merged])

    def execute(self, statement: str, *values: object) -> None:
        with self.database.transaction() as connection:
            connection.exec_driver_sql(statement, values or None)

    def scan(self) -> list[IndexedPoint]:
        return self.live.scan(None, 100_000)

    def assert_equal(self) -> None:
        """The index holds what the rows say, and nothing else."""
        expected = [row for row in self.truth.list_expected(None, 100_000) if row.is_indexed]
        assert [(row.memory_id, row.owner, row.version) for row in expected] == [
            (point.memory_id, point.owner, point.version) for point in self.scan()
        ]

    def rebuild(self) -> Rebuild:
        """Build the index anew, to the end."""
        found = self.reindex.start()
        for _ in range(MOST_TURNS):
            if not found.is_under_way:
                return found
            found = self.reindex.proceed(TURN)
        raise AssertionError(f"does not get on: {found}")

    def rebuild_until_complete(self) -> Rebuild:
        """Build the index anew, up to where only the switch is left."""
        found = self.reindex.start()
        for _ in range(MOST_TURNS):
            if found.is_complete:
                return found
            found = self.reindex.proceed(TURN)
        raise AssertionError(f"does not get on: {found}")

    def remove(self, *memories: Memory) -> None:
        """Delete their rows, as nobody does."""
        keys = [memory.id for memory in memories]
        self.execute("DELETE FROM memories WHERE id = ANY(%s)", keys)

    def _write(self, memories: tuple[Memory, ...], changes: list[Change]) -> None:
        versions: dict[MemoryId, int] = {memory.id: memory.version for memory in memories}
        self._commit(memories[0].owner, changes, versions)

    def _commit(self, owner: Owner, changes: list[Change], versions: dict[MemoryId, int]) -> None:
        self.store.mark_owner_due(owner, START)
        claim = self.store.claim_owner(owner, self.clock.now(), LEASE)
        assert claim is not None
        self.store.commit_plan(claim, Plan(tuple(changes), versions, {}), self.clock.now())
        self.store.release_owner(claim, None, self.clock.now())


@contextmanager
def open_index_world(
    kind: str, database_url: str, key_prefix: str, folder: Path, batch: int = 20
) -> Iterator[IndexWorld]:
    """A world whose index is of this kind, prepared and empty."""
    database = Database(database_url, pool_size=16)
    live: RebuildableIndex
    if kind == "pgvector":
        live = PgvectorIndex(Database(database_url, pool_size=8).engine, key_prefix, "m", SIZE)
    elif kind == "edge":
        live = EdgeIndex(folder / "index", "m", SIZE)
    else:
        live = QdrantServerIndex(QdrantClient(":memory:"), key_prefix, "m", SIZE)
    live.prepare()
    yield IndexWorld(database, live, ReconcilePolicy(batch=batch))
    live.close()
    database.close()
