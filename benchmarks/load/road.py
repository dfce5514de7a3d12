"""The road of sessions from the Stream into the index: how many a second, and what one costs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import fmean, harmonic_mean
from typing import TYPE_CHECKING

from celery import group

from benchmarks.capacity.costs import SESSION_POSTGRES, SESSION_WORKER
from benchmarks.load.bare import CALL, make_bare_app
from benchmarks.load.figures import Bound, Figure, share
from benchmarks.load.place import cpu_of, megabytes_of, wait_until
from benchmarks.load.sessions import make_sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.load.place import Place

PROCESSES = 2
ROUNDS = 2
# A megabyte more is the allocator's, not the sessions'.
MAX_GROWN_MEGABYTES = 10.0
MAX_WORKER_MS, MAX_POSTGRES_MS, MIN_RATE, MIN_SHARE, MAX_MEGABYTES = 20.0, 15.0, 60.0, 0.8, 160.0
_FINAL = "SELECT count(*) FROM transcripts WHERE state IN ('done', 'dead')"
_DEAD = "SELECT count(*) FROM transcripts WHERE state = 'dead'"
_BYTES = "SELECT pg_database_size(current_database())"
_LEFT = (
    "SELECT (SELECT count(*) FROM facts WHERE outcome = 'pending') + (SELECT count(*) FROM outbox)"
)


@dataclass(frozen=True, slots=True)
class Spent:
    """What sessions took; milliseconds of processor are of one session."""

    rate: float
    worker_ms: float
    postgres_ms: float


def measure_road(place: Place, users: int, parts: int) -> Iterator[Figure]:
    """Each user has a session in each round of each part; the first round is not counted."""
    workers = place.start_workers(PROCESSES)
    play(place, workers, users, range(1))
    place.tidy()
    before = max(megabytes_of(worker) for worker in workers)
    stored = place.count(_BYTES)
    starts = range(1, 1 + parts * ROUNDS, ROUNDS)
    played = [play(place, workers, users, range(it, it + ROUNDS)) for it in starts]
    count = users * ROUNDS * parts
    stored = place.count(_BYTES) - stored
    resident = max(megabytes_of(worker) for worker in workers)
    place.stop(*workers)
    calls = _call_bare(place, users * ROUNDS)
    worker_ms = fmean(spent.worker_ms for spent in played)
    postgres_ms = fmean(spent.postgres_ms for spent in played)
    rate = harmonic_mean([spent.rate for spent in played])
    yield Figure(SESSION_WORKER, worker_ms, "ms", limit=MAX_WORKER_MS)
    yield Figure(SESSION_POSTGRES, postgres_ms, "ms", limit=MAX_POSTGRES_MS)
    yield Figure("a session on disk in PostgreSQL", stored / 1e3 / count, "kB")
    yield Figure("sessions", rate, "/s", calls, MIN_RATE, Bound.AT_LEAST)
    yield share("sessions per bare model call", rate, calls, MIN_SHARE, Bound.AT_LEAST)
    yield Figure("resident worker", resident, "MB", limit=MAX_MEGABYTES)
    grown = f"resident worker, grown over {count:,} sessions"
    yield Figure(grown, resident - before, "MB", limit=MAX_GROWN_MEGABYTES)


def play(place: Place, workers: list[int], users: int, rounds: range) -> Spent:
    """Push a session of each user in each round, and wait until all can be recalled."""
    sessions = list(make_sessions(users, rounds))
    before = place.count(_FINAL)
    worker_cpu, postgres_cpu = cpu_of(workers), place.cpu_of_postgres()
    started = time.perf_counter()
    with place.client() as client:
        client.enqueue_many(sessions)
    wait_until(
        lambda: place.count(_FINAL) - before >= len(sessions) and not place.count(_LEFT),
        "all sessions can be recalled",
        # Counting is PostgreSQL's work, too.
        step=0.25,
    )
    seconds = time.perf_counter() - started
    if dead := place.count(_DEAD):
        raise RuntimeError(f"{dead} sessions are dead letters")
    return Spent(
        rate=len(sessions) / seconds,
        worker_ms=1e3 * (cpu_of(workers) - worker_cpu) / len(sessions),
        postgres_ms=1e3 * (place.cpu_of_postgres() - postgres_cpu) / len(sessions),
    )


def _call_bare(place: Place, count: int) -> float:
    """Model calls a second of the same processes, if they do nothing else."""
    with place.environment():
        app = make_bare_app()
        workers = place.start_celery("benchmarks.load.bare", PROCESSES)
        answered = place.calls_answered()
        started = time.perf_counter()
        said = [f'[{number}, "user", "I walked to the lake with Ana."]' for number in range(8)]
        text = "\n".join(['{"session": 1}', *said])
        group(app.signature(CALL, (text,)) for _ in range(count)).apply_async()
        wait_until(lambda: place.calls_answered() - answered >= count, "all calls are answered")
        seconds = time.perf_counter() - started
    place.stop(*workers)
    return count / seconds
