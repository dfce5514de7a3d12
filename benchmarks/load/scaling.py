"""One worker process and two, and what is left when one of two is killed."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.load.figures import Bound, Figure, share
from benchmarks.load.place import wait_until
from benchmarks.load.road import play
from benchmarks.load.sessions import make_sessions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.load.place import Place

# So few that a worker waits for the model, and not for the processor.
THREADS, USERS = 3, 100
MIN_GAIN = 1.8
LEASE_SECONDS = 20
# What is done beside waiting for a lease to end: the work itself, and the look of the sweep.
_GRACE_SECONDS = 10
_DONE = "SELECT count(*) FROM transcripts WHERE state = 'done'"
_DEAD = "SELECT count(*) FROM transcripts WHERE state = 'dead'"
_HELD = "SELECT count(*) FROM transcripts WHERE state = 'distilling'"


def measure_scaling(place: Place, rounds: int) -> Iterator[Figure]:
    """Sessions a second of one process and of two; then one of them is killed at work."""
    place.env["MEMSTILL_DISTILL_LEASE_SECONDS"] = str(LEASE_SECONDS)
    beat = place.start_beat()
    first = place.start_workers(1, THREADS)
    play(place, first, USERS, range(1))
    place.tidy()
    alone = play(place, first, USERS, range(1, 1 + rounds)).rate
    both = [*first, *place.start_workers(1, THREADS)]
    play(place, both, USERS, range(10, 11))
    together = play(place, both, USERS, range(20, 20 + rounds)).rate
    yield share("two worker processes per one", together, alone, MIN_GAIN, Bound.AT_LEAST)
    taken, lost = _kill_one(place, both)
    limit = LEASE_SECONDS + _GRACE_SECONDS
    yield Figure("killed until all it held is done", taken, "s", limit=limit)
    yield Figure("sessions lost with it", lost, "", limit=0)
    place.stop(beat, *both)


def _kill_one(place: Place, workers: list[int]) -> tuple[float, int]:
    """Seconds until the last session is done, and how many never were."""
    before = place.count(_DONE)
    sessions = list(make_sessions(USERS, range(40, 41)))
    with place.client() as client:
        client.enqueue_many(sessions)
    wait_until(lambda: place.count(_HELD) >= 2 * THREADS, "both are at work", step=0.01)
    place.kill(workers[0])
    started = time.perf_counter()
    wait_until(lambda: place.count(_DONE) - before >= len(sessions), "all are done")
    return time.perf_counter() - started, place.count(_DEAD)
