"""Users who have many memories already, written straight into the truth and the index."""

from __future__ import annotations

import hashlib
import uuid
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from sqlalchemy import insert, text

from benchmarks.load.sessions import START
from benchmarks.load.vocabulary import say
from pipelines.adapters.postgres.rows import evidence_row, memory_row
from pipelines.adapters.postgres.tables import evidence, memories
from pipelines.model import Evidence, Kind, Memory, MemoryId, Owner, ReceiptId, Role, Scope
from pipelines.ports import IndexPoint

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipelines.model import Vector
    from pipelines.ports import Embedder
    from workers.container import Container

TENANT = "default"
_AT_ONCE = 1_000
# What a memory is found by beside its statement: some of the messages around it.
_PASSAGE = 3
_EMBEDDED = 64
_embedded: dict[tuple[str, bytes], list[Vector]] = {}


def owner_with(count: int) -> Owner:
    """The one who is given so many."""
    return Owner(TENANT, f"user with {count}")


def fill(container: Container, owner: Owner, count: int, seed: int = 1) -> None:
    """Give an owner so many memories, each said once, with the vectors of their statements."""
    embedder = container.recall.embedder
    for start in range(0, count, _AT_ONCE):
        part = list(_make(embedder, owner, start, min(count, start + _AT_ONCE), seed))
        made = [memory for memory, _ in part]
        with container.database.transaction() as connection:
            connection.execute(insert(memories), [memory_row(memory, START) for memory in made])
            rows = [evidence_row(memory.id, item) for memory in made for item in memory.evidence]
            connection.execute(insert(evidence), rows)
        container.index.apply([_point(memory, passage) for memory, passage in part], [])


def tidy(container: Container) -> None:
    """As autovacuum and the job that tends the index would have left it."""
    container.index.live.tend()
    engine = container.database.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("SET statement_timeout = 0"))
        connection.execute(text("VACUUM ANALYZE"))
        connection.execute(text("CHECKPOINT"))


def _make(
    embedder: Embedder, owner: Owner, first: int, end: int, seed: int
) -> Iterator[tuple[Memory, str]]:
    dice = Random(f"{seed}/{owner}/{first}")
    statements = [f"{say(dice)} It was number {number}." for number in range(first, end)]
    passages = [" ".join(say(dice) for _ in range(_PASSAGE)) for _ in statements]
    vectors = _embed(embedder, statements)
    for number, (statement, passage) in enumerate(zip(statements, passages, strict=True), first):
        yield _memory(owner, statement, number, vectors[number - first]), passage


def _embed(embedder: Embedder, statements: list[str]) -> list[Vector]:
    """Once for all scenarios of a run: a model takes longer over them than all the rest."""
    key = (embedder.model, hashlib.sha256("\n".join(statements).encode()).digest())
    if key not in _embedded:
        parts = [statements[at : at + _EMBEDDED] for at in range(0, len(statements), _EMBEDDED)]
        _embedded[key] = [vector for part in parts for vector in embedder.embed(part)]
    return _embedded[key]


def _memory(owner: Owner, statement: str, number: int, vector: Vector) -> Memory:
    at = START - timedelta(minutes=number)
    session_id = f"old-{number // 10}"
    said = Evidence(
        transcript_id=ReceiptId(uuid.uuid4()),
        session_id=session_id,
        message_id=f"m{number}",
        message_index=number % 10,
        role=Role.USER,
        speaker="user",
        quote=statement,
        said_at=at,
        event_at=at,
    )
    return Memory(
        id=MemoryId(uuid.uuid4()),
        owner=owner,
        scope=Scope.USER,
        session_id=session_id,
        statement=statement,
        subject="user",
        kind=Kind.EVENT,
        importance=0.5,
        valid_from=at,
        confirmed_at=at,
        evidence=(said,),
        vector=vector,
        distilled_by="bench/1",
    )


def _point(memory: Memory, passage: str) -> IndexPoint:
    return IndexPoint(
        memory_id=memory.id,
        owner=memory.owner,
        scope=memory.scope,
        session_id=memory.session_id,
        version=memory.version,
        vector=memory.vector,
        text=f"{memory.statement} {passage}",
        state=memory.state,
        valid_from=memory.valid_from,
    )
