"""What a run of decay costs, and what others notice of it.

python -m benchmarks.decay [--memories 1000000]

On a durable PostgreSQL of its own. Two ceilings are measured in the same run: one statement that
only finds the same memories, and one that finds and marks them, with nothing of what makes an
eviction safe (no event, no entry for the index, one transaction over all). A second run has
company: somebody recalls, and somebody changes memories, as workers do; both also before it, so
that what they cost each other is not put down to decay.
"""

from __future__ import annotations

import multiprocessing
import resource
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import text, update

from config.decay import DecayPolicy
from config.logs import configure_logs
from pipelines.adapters.postgres import Database, PostgresMemoryStore
from pipelines.adapters.postgres.decay import NOW, PostgresFading, select_faded
from pipelines.adapters.postgres.migrate import migrate
from pipelines.adapters.postgres.tables import memories
from pipelines.adapters.postgres.uses import PostgresUses
from pipelines.flows.decay import Decay
from pipelines.flows.uses import CountUses
from pipelines.model import MemoryId, Owner
from pipelines.outcome import Snoozed
from pipelines.testing.lifecycle import InMemoryUseCounter
from pipelines.testing.surroundings import RecordingWaker
from workers.clock import SystemClock
from workers.embedded.postgres import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection as Pipe

POLICY = DecayPolicy()
USERS, HYDRATED, IDLE_SECONDS = 1_000, 160, 15.0
MAX_RATIO, MAX_MEGABYTES, MAX_LATENCY_RATIO, MAX_LOCK_MS = 3.0, 200.0, 1.5, 100.0

# Half of them were used, once or often; a tenth of all have faded.
_FILL = text(
    """
    INSERT INTO memories (id, tenant_id, user_id, scope, session_id, statement, statement_key,
        subject, kind, importance, state, valid_from, confirmed_at, version, distilled_by,
        embedding, updated_at)
    SELECT gen_random_uuid(), 'bench', 'user ' || number % :users, 'user', 's' || number,
        'Statement ' || number || ' about what somebody said in a session long ago.',
        'statement ' || number, 'user',
        (ARRAY['event', 'preference', 'profile', 'outcome', 'knowledge'])[1 + number % 5],
        (number % 10) / 10.0, 'active', :now, :now, 1, 'bench/1',
        decode(repeat(md5(number::text), 96), 'hex'),
        :now - make_interval(secs => 86400 * 260 * random())
    FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS number
    """
)
_USE = text(
    """
    INSERT INTO memory_uses (memory_id, tenant_id, user_id, uses, used_at)
    SELECT id, tenant_id, user_id, 1 + abs(hashtext(id::text)) % 20,
        updated_at + (:now - updated_at) * random()
    FROM memories WHERE abs(hashtext(id::text)) % 2 = 0
    """
)

_console = Console(highlight=False, soft_wrap=True)


@dataclass(slots=True)
class Times:
    """Seconds that one thing took, before the run and during it."""

    idle: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)

    def milliseconds(self, share: float) -> tuple[float, float]:
        """That quantile of both."""
        idle, busy = (1e3 * float(np.quantile(part, share)) for part in (self.idle, self.busy))
        return idle, busy


@dataclass(frozen=True, slots=True)
class Run:
    """A run in a process of its own.

    Attributes:
        megabytes: Resident at most.
        locks: Seconds of each transaction that evicted: so long a user was locked.
    """

    seconds: float
    counts: dict[str, int]
    turns: int
    megabytes: float
    locks: list[float]


class _Timed(PostgresFading):
    """Notes how long its transactions take."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.taken: list[float] = []

    def _evict(self, keys: Sequence[MemoryId], now: datetime, policy: DecayPolicy) -> int:
        started = time.perf_counter()
        try:
            return super()._evict(keys, now, policy)
        finally:
            self.taken.append(time.perf_counter() - started)


def main(
    count: Annotated[int, typer.Option("--memories", min=1_000)] = 1_000_000,
    data: Annotated[Path | None, typer.Option(help="Folder for the database.")] = None,
) -> None:
    """Measure, and end with 1 where a bound is not kept."""
    configure_logs("warning", "console")
    with ExitStack() as stack:
        folder = data or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = PostgresServer(folder / "postgres", durable=True)
        server.start()
        stack.callback(server.stop)
        migrate(url := server.url, contracts=True)
        database = Database(url, statement_ms=0)
        stack.callback(database.close)
        _fill(database, count)
        raise typer.Exit(_measure(database, url, count))


def _fill(database: Database, count: int) -> None:
    now, step = datetime.now(UTC), 100_000
    for first in range(1, count + 1, step):
        values = {"users": USERS, "now": now, "first": first, "last": min(count, first + step - 1)}
        with database.transaction() as connection:
            connection.execute(_FILL, values)
    with database.transaction() as connection:
        connection.execute(_USE, {"now": now})
    _tidy(database)


def _measure(database: Database, url: str, count: int) -> int:
    find = min(_timed(lambda: _find_bare(database)) for _ in range(3))
    look = min(_timed(lambda: _look(database)) for _ in range(3))
    mark = _timed(lambda: _mark_bare(database))
    run = _run_apart(url)
    _take_back(database)
    recall, change = Times(), Times()
    ids = _some_ids(database)
    with _company(database, ids, recall.idle, change.idle):
        time.sleep(IDLE_SECONDS)
    with _company(database, ids, recall.busy, change.busy):
        locks = _run_apart(url).locks
    bare = {"find": find, "look": look, "mark": mark}
    return _report(count, bare, replace(run, locks=locks), recall, change)


def _find_bare(database: Database) -> None:
    with database.transaction() as connection:
        statement = select_faded(POLICY).with_only_columns(memories.c.id)
        connection.execute(statement, {"now": datetime.now(UTC)}).fetchall()


def _look(database: Database) -> None:
    """The run without its writes: all parts of the table, one after another."""
    fading, position, now = PostgresFading(database), 0, datetime.now(UTC)
    while (following := fading.find_faded_keys(position, now, POLICY)[1]) is not None:
        position = following


def _mark_bare(database: Database) -> None:
    """Find and mark in one statement, and take it back."""
    faded = select_faded(POLICY).with_only_columns(memories.c.id)
    with database.engine.connect() as connection:
        statement = update(memories).where(memories.c.id.in_(faded)).values(evicted_at=NOW)
        connection.execute(statement, {"now": datetime.now(UTC)})
        connection.rollback()


def _take_back(database: Database) -> None:
    with database.transaction() as connection:
        connection.execute(text("TRUNCATE events, outbox"))
        connection.execute(
            update(memories).where(memories.c.evicted_at.is_not(None)).values(evicted_at=None)
        )
    _tidy(database)


def _tidy(database: Database) -> None:
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))


def _some_ids(database: Database) -> list[MemoryId]:
    with database.transaction() as connection:
        found = connection.execute(
            text("SELECT id FROM memories WHERE user_id = 'user 7' LIMIT :limit"),
            {"limit": HYDRATED},
        )
        return [MemoryId(key) for key in found.scalars()]


def _hydrate(database: Database, ids: list[MemoryId]) -> None:
    """What a recall reads of PostgreSQL."""
    PostgresMemoryStore(database).load_memories(Owner("bench", "user 7"), ids)


def _change(database: Database, ids: list[MemoryId]) -> None:
    """What a worker writes that changes a user's memories: it waits for whoever locks them."""
    with database.transaction() as connection:
        connection.execute(
            update(memories).where(memories.c.id.in_(ids)).values(users=memories.c.users)
        )


@contextmanager
def _company(
    database: Database, ids: list[MemoryId], recall: list[float], change: list[float]
) -> Iterator[None]:
    """Somebody recalls and somebody changes memories, again and again."""
    with (
        _beside(recall, lambda: _hydrate(database, ids)),
        _beside(change, lambda: _change(database, ids)),
    ):
        yield


@contextmanager
def _beside(taken: list[float], call: Callable[[], None]) -> Iterator[None]:
    stop = threading.Event()

    def repeat() -> None:
        while not stop.is_set():
            taken.append(_timed(call))
            stop.wait(0.02)

    thread = threading.Thread(target=repeat)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _timed(call: Callable[[], None]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _run_apart(url: str) -> Run:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(url, theirs))
    process.start()
    run: Run = ours.recv()
    process.join()
    return run


def _run(url: str, answer: Pipe) -> None:
    configure_logs("warning", "console")
    database, clock, waker = Database(url, pool_size=1), SystemClock(), RecordingWaker()
    uses = CountUses(InMemoryUseCounter(), PostgresUses(database), waker, clock)
    decay = Decay(fading := _Timed(database), uses, waker, clock, POLICY)
    started, turns = time.perf_counter(), 1
    outcome: Any = decay.run()
    counts = dict(outcome.counts)
    while isinstance(outcome, Snoozed):
        outcome, turns = decay.run(outcome.position), turns + 1
        counts["evicted"] += outcome.counts["evicted"]
    seconds = time.perf_counter() - started
    database.close()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    answer.send(Run(seconds, counts, turns, peak, fading.taken))


def _report(count: int, bare: dict[str, float], run: Run, recall: Times, change: Times) -> int:
    idle, busy = recall.milliseconds(0.5)
    lock, longest = (1e3 * float(np.quantile(run.locks, share)) for share in (0.99, 1))
    rows = [
        ("find only", f"{bare['look']:.2f} s", f"{bare['find']:.2f} s in one statement",
         bare["look"] / bare["find"], MAX_RATIO),
        ("find and evict", f"{run.seconds:.2f} s", f"{bare['mark']:.2f} s in one statement",
         run.seconds / bare["mark"], MAX_RATIO),
        ("memory", f"{run.megabytes:.0f} MB", "", run.megabytes, MAX_MEGABYTES),
        ("reading of a recall, p50", f"{busy:.1f} ms", f"{idle:.1f} ms before it",
         busy / idle, MAX_LATENCY_RATIO),
        ("lock of a user, p99", f"{lock:.0f} ms", "", lock, MAX_LOCK_MS),
        ("longest lock of a user", f"{longest:.0f} ms", "", longest, MAX_LOCK_MS),
    ]  # fmt: skip
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("", "decay", "ceiling", "ratio or value", "at most"):
        table.add_column(name)
    for name, taken, ceiling, value, most in rows:
        table.add_row(name, taken, ceiling, f"{value:.2f}", f"{most:g}")
    turns = timedelta(seconds=run.seconds) / max(1, run.turns)
    _console.print(
        f"{count:,} memories, {run.counts['evicted']:,} had faded; {run.turns} turns of "
        f"{turns.total_seconds():.1f} s"
    )
    _console.print(table)
    waits = " and ".join(
        f"{share:.0%} within {after:.0f} ms, {before:.0f} ms before it"
        for share in (0.5, 0.99)
        for before, after in [change.milliseconds(share)]
    )
    _console.print(f"Of the changes of {HYDRATED} memories of a user meanwhile {waits}.")
    return 0 if all(value <= most for *_, value, most in rows) else 1


if __name__ == "__main__":
    typer.run(main)
