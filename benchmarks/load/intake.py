"""Pushing sessions, and taking them in: beside the bare commands of the same servers."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import psycopg
from redis import Redis

from benchmarks.load.figures import Bound, Figure, quantile, share
from benchmarks.load.place import PREFIX, wait_until
from benchmarks.load.sessions import make_sessions
from memstill_client.wire import STREAM_FIELD, stream_key
from workers.queues import QUEUES, RUN_JOB

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.load.place import Place
    from memstill_client import Memstill

USERS = 500
MAX_P50, MAX_P99, MIN_BULK, MIN_INTAKE = 1.2, 3.0, 10_000.0, 0.7
_BATCH = 100
_TAKEN_IN = "SELECT count(*) FROM transcripts"
_BARE = "CREATE TABLE bare (LIKE transcripts INCLUDING ALL)"


def measure_intake(place: Place, count: int) -> Iterator[Figure]:
    """Push one by one, push many, and have one worker take all of them in."""
    rounds = -(-count // USERS)
    sessions = list(itertools.islice(make_sessions(USERS, range(rounds)), count))
    with place.client() as client, Redis.from_url(place.env["MEMSTILL_REDIS_URL"]) as redis:
        mine, bare = _push_in_turns(client, redis, sessions)
        yield Figure("enqueue, p50", quantile(mine, 0.5), "ms", quantile(bare, 0.5))
        yield share("enqueue, p50 of XADD", *_both(mine, bare, 0.5), MAX_P50, Bound.AT_MOST)
        yield share("enqueue, p99 of XADD", *_both(mine, bare, 0.99), MAX_P99, Bound.AT_MOST)
        redis.flushdb()
        bulk = count / _timed(lambda: client.enqueue_many(sessions))
    yield Figure("enqueue many", bulk, "/s", limit=MIN_BULK, bound=Bound.AT_LEAST)
    taken = _take_in(place, count)
    inserted = _insert_bare(place)
    yield Figure("intake", taken, "/s", inserted)
    yield share("intake per bare INSERT", taken, inserted, MIN_INTAKE, Bound.AT_LEAST)


def _push_in_turns(
    client: Memstill, redis: Redis, sessions: list[dict[str, Any]]
) -> tuple[list[float], list[float]]:
    """Seconds of each push by the client, and of the bare command with the same bytes."""
    mine, bare, key = list[float](), list[float](), f"bare:{stream_key(PREFIX)}"
    for session in sessions:
        raw = json.dumps(session).encode()
        mine.append(_timed(lambda: client.enqueue(session)))  # noqa: B023 - called at once
        bare.append(_timed(lambda: redis.xadd(key, {STREAM_FIELD: raw})))  # noqa: B023
    return mine, bare


def _take_in(place: Place, count: int) -> float:
    """Sessions a second that one worker takes in, which has nothing else to do."""
    before = place.count(_TAKEN_IN)
    started = time.perf_counter()
    workers = place.start_workers(1, queues=QUEUES[RUN_JOB])
    started = time.perf_counter() if place.count(_TAKEN_IN) == before else started
    wait_until(lambda: place.count(_TAKEN_IN) - before >= count, "all are taken in", step=0.02)
    seconds = time.perf_counter() - started
    place.stop(*workers)
    return count / seconds


def _insert_bare(place: Place) -> float:
    """The same rows a second by batched INSERT into a table with the same indexes."""
    with psycopg.connect(place.env["MEMSTILL_DATABASE_URL"]) as connection:
        connection.execute(_BARE)
        rows = connection.execute("SELECT * FROM transcripts").fetchall()
        columns = ", ".join(["%s"] * len(rows[0]))
        adapted = [[_adapt(value) for value in row] for row in rows]
        started = time.perf_counter()
        for start in range(0, len(adapted), _BATCH):
            batch = adapted[start : start + _BATCH]
            with connection.cursor() as cursor:
                cursor.executemany(f"INSERT INTO bare VALUES ({columns})", batch)  # noqa: S608
            connection.commit()
        return len(rows) / (time.perf_counter() - started)


def _adapt(value: object) -> object:
    return psycopg.types.json.Jsonb(value) if isinstance(value, dict) else value


def _both(mine: list[float], bare: list[float], part: float) -> tuple[float, float]:
    return quantile(mine, part), quantile(bare, part)


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
