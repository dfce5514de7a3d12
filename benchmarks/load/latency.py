"""From a push until its memories can be recalled, with an endpoint that answers at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.load.endpoint import SIZE
from benchmarks.load.figures import Figure, quantile
from benchmarks.load.place import DEADLINE_SECONDS, PREFIX
from benchmarks.load.road import PROCESSES, play
from benchmarks.load.sessions import make_sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.load.place import Place

USERS = 300
MAX_P50_MS, MAX_P99_MS = 150.0, 1_000.0
# What is seen is up to so much later than it was there.
_STEP_SECONDS = 0.005
_TABLE = "SELECT tablename FROM pg_tables WHERE tablename LIKE %s AND tablename LIKE %s"


def measure_latency(place: Place, count: int) -> Iterator[Figure]:
    """Each session is pushed at its time, at half the rate at which they can be worked through."""
    workers = place.start_workers(PROCESSES)
    play(place, workers, USERS, range(1))
    place.tidy()
    full = play(place, workers, USERS, range(1, 2)).rate
    taken = _push_at(place, count, full / 2)
    place.stop(*workers)
    yield Figure("sessions, the model answers at once", full, "/s")
    for part, limit in ((0.5, MAX_P50_MS), (0.99, MAX_P99_MS)):
        name = f"pushed until recalled at half load, p{100 * part:.0f}"
        yield Figure(name, quantile(taken, part), "ms", limit=limit)


def _push_at(place: Place, count: int, rate: float) -> list[float]:
    """Seconds of each session."""
    sessions = iter(make_sessions(USERS, range(2, 3 + count // USERS)))
    (table,) = place.query(_TABLE, f"{PREFIX}.%", f"%-{SIZE}")
    seen = f'SELECT DISTINCT session_id FROM "{table[0]}" WHERE session_id = ANY(%s)'  # noqa: S608
    pushed: dict[str, float] = {}
    taken: list[float] = []
    started = time.perf_counter()
    with place.client() as client:
        for sent in range(count):
            while time.perf_counter() - started < sent / rate:
                time.sleep(_STEP_SECONDS)
                taken += _take_seen(place, seen, pushed)
            session = next(sessions)
            pushed[session["session_id"]] = time.perf_counter()
            client.enqueue(session)
    deadline = time.perf_counter() + DEADLINE_SECONDS
    while pushed:
        if time.perf_counter() > deadline:
            raise TimeoutError(f"{len(pushed)} sessions cannot be recalled")
        time.sleep(_STEP_SECONDS)
        taken += _take_seen(place, seen, pushed)
    return taken


def _take_seen(place: Place, seen: str, pushed: dict[str, float]) -> list[float]:
    found = place.query(seen, list(pushed)) if pushed else []
    return [time.perf_counter() - pushed.pop(session_id) for (session_id,) in found]
