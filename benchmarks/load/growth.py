"""What one more session costs for a user with few memories and for one with many."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING

import orjson

from benchmarks.load.figures import Bound, Figure, share
from benchmarks.load.filling import fill, owner_with, tidy
from benchmarks.load.inside import open_inside
from benchmarks.load.recall import FEW, MAX_GROWTH
from benchmarks.load.sessions import make_session
from memstill_client.wire import parse_transcript
from workers.payloads import to_transcript

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.load.place import Place
    from pipelines.model import Owner
    from workers.container import Container

ROUNDS = 30


def measure_growth(place: Place, kind: str, many: int) -> Iterator[Figure]:
    """From facts to memories in the index, with embeddings of 1,536 numbers that come over HTTP.

    Both users have their sessions in turns; of each the time of this process and of PostgreSQL
    counts, without what was distilled before.
    """
    with open_inside(place, kind) as container:
        for count in (FEW, many):
            fill(container, owner_with(count), count)
        tidy(container)
        spent = {FEW: 0.0, many: 0.0}
        for number in range(ROUNDS + 1):
            for count in spent:
                took = _consolidate(place, container, owner_with(count), number)
                # The first one makes plans and connections.
                spent[count] += took if number else 0.0
    for count, seconds in spent.items():
        name = f"consolidating a session beside {count:,}, {kind}"
        yield Figure(name, 1e3 * seconds / ROUNDS, "ms")
    name = f"consolidating beside {many:,} per {FEW}, {kind}"
    yield share(name, spent[many], spent[FEW], MAX_GROWTH, Bound.AT_MOST)


def _consolidate(place: Place, container: Container, owner: Owner, number: int) -> float:
    """Seconds of processor."""
    pushed = make_session(owner.user_id, number, Random(f"{owner}/{number}"))
    parsed = parse_transcript(orjson.dumps(pushed), now=datetime.now(UTC), max_bytes=1_000_000)
    transcript = to_transcript(parsed, default_tenant=owner.tenant_id)
    container.ingest.run([transcript])
    container.distill.run(transcript.id)
    # To look at PostgreSQL's takes this process some milliseconds: not between the two.
    by_postgres, by_us = place.cpu_of_postgres(), time.process_time()
    container.consolidate.run(owner)
    container.project.run()
    by_us = time.process_time() - by_us
    return by_us + place.cpu_of_postgres() - by_postgres
