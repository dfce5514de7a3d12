"""Recall for users with few and with many memories, beside the bare query of the same index."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from benchmarks.load.figures import Bound, Figure, quantile, share
from benchmarks.load.filling import TENANT, fill, owner_with, tidy
from benchmarks.load.inside import open_inside
from benchmarks.load.vocabulary import ask
from pipelines.flows.recall import Question, Recall
from pipelines.model import Owner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.load.place import Place
    from pipelines.model import Vector
    from workers.container import Container

FEW, MANY, MOST = 100, 10_000, 50_000
QUERIES, OTHERS = 150, 200
MAX_MS = {"edge": 15.0, "pgvector": 20.0}
MAX_P50, MAX_P99, MAX_GROWTH = 1.5, 3.0, 1.3
_LIMIT = 20


@dataclass(frozen=True, slots=True)
class _Known:
    """``Embedder`` of texts that were embedded before: what is left without the model."""

    model: str
    size: int
    vectors: dict[str, Vector]

    def embed(self, texts: Sequence[str]) -> list[Vector]:
        return [self.vectors[text] for text in texts]


def measure_recall(place: Place, kind: str, *, with_most: bool) -> Iterator[Figure]:
    """With the local embedder; in the process, without HTTP.

    The index is ``pgvector`` or ``edge``. ``with_most`` adds a user with 50,000 memories.
    """
    sizes = [FEW, MANY, *([MOST] if with_most else [])]
    with open_inside(place, kind, MEMSTILL_EMBEDDER="minilm") as container:
        for size in sizes:
            fill(container, owner_with(size), size)
        for number in range(OTHERS):
            fill(container, Owner(TENANT, f"other-{number}"), 10)
        tidy(container)
        yield from _measure(kind, container, sizes)


def _measure(kind: str, container: Container, sizes: list[int]) -> Iterator[Figure]:
    dice = Random(7)
    queries = [ask(dice) for _ in range(QUERIES)]
    whole = {size: _recall(container.recall, size, queries) for size in sizes}
    name = f"recall of {MANY:,}, {kind}"
    yield Figure(f"{name}, p50", quantile(whole[MANY], 0.5), "ms", limit=MAX_MS[kind])
    yield Figure(f"{name}, p99", quantile(whole[MANY], 0.99), "ms")
    embedder = container.recall.embedder
    known = dict(zip(queries, embedder.embed(queries), strict=True))
    without = replace(container.recall, embedder=_Known("known", embedder.size, known))
    mine = _recall(without, MANY, queries)
    bare = [_timed(partial(_ask_bare, container, query, known)) for query in queries]
    for part, limit in ((0.5, MAX_P50), (0.99, MAX_P99)):
        both = quantile(mine, part), quantile(bare, part)
        title = f"{name}, without the model, of a bare query, p{100 * part:.0f}"
        yield share(title, *both, limit, Bound.AT_MOST)
    for size in sizes[1:]:
        both = quantile(whole[size], 0.99), quantile(whole[FEW], 0.99)
        title = f"recall p99 of {size:,} per {FEW}, {kind}"
        yield share(title, *both, MAX_GROWTH, Bound.AT_MOST)


def _recall(recall: Recall, size: int, queries: list[str]) -> list[float]:
    def ask(query: str) -> None:
        told = recall.run(Question(owner_with(size), query, _LIMIT, 400))
        if not told.memories:
            raise RuntimeError(f"nothing was recalled for {query!r}")

    ask(queries[0])
    return [_timed(partial(ask, query)) for query in queries]


def _ask_bare(container: Container, query: str, known: dict[str, Vector]) -> None:
    """What the index is asked, and one row by its key."""
    owner = owner_with(MANY)
    hits = container.index.search(owner, None, known[query], query, _LIMIT)
    container.store.load_memories(owner, [hits[0].memory_id])


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started
