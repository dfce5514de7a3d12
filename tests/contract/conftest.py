"""The places where a vector index can keep its points, each opened like the others."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import pytest
from qdrant_client import QdrantClient
from sqlalchemy import create_engine, make_url

from pipelines.adapters.pgvector import PgvectorIndex
from pipelines.adapters.qdrant_edge import EdgeIndex
from pipelines.adapters.qdrant_server import QdrantServerIndex
from pipelines.testing.index import InMemoryIndex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from pipelines.ports import RebuildableIndex

MODEL = "Some/Model v2"
SIZE = 8


class Place(Protocol):
    """Where points are kept while indexes come and go."""

    def open(self, model: str = MODEL, size: int = SIZE) -> RebuildableIndex:
        """An index on this place, not yet prepared; the one opened before is released."""
        ...

    def leave(self) -> None:
        """Remove what was kept."""
        ...


class MemoryPlace:
    """Keeps nothing: good for one index."""

    def open(self, model: str = MODEL, size: int = SIZE) -> RebuildableIndex:
        del model, size
        return InMemoryIndex()

    def leave(self) -> None:
        """Nothing was kept."""


class EdgePlace:
    """A folder."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._index: EdgeIndex | None = None

    def open(self, model: str = MODEL, size: int = SIZE) -> RebuildableIndex:
        self.leave()
        self._index = EdgeIndex(self._path, model, size)
        return self._index

    def leave(self) -> None:
        if self._index is not None:
            self._index.close()


class QdrantPlace:
    """A Qdrant server, or the client's imitation of one."""

    def __init__(self, client: QdrantClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix

    def open(self, model: str = MODEL, size: int = SIZE) -> RebuildableIndex:
        return QdrantServerIndex(self._client, self._prefix, model, size)

    def leave(self) -> None:
        for collection in self._client.get_collections().collections:
            if collection.name.startswith(f"{self._prefix}."):
                self._client.delete_collection(collection.name)
        self._client.close()


class PgvectorPlace:
    """A database."""

    def __init__(self, engine: Engine, prefix: str) -> None:
        self._engine = engine
        self._prefix = prefix

    def open(self, model: str = MODEL, size: int = SIZE) -> RebuildableIndex:
        return PgvectorIndex(self._engine, self._prefix, model, size)

    def leave(self) -> None:
        """The database goes with the test."""


LASTING = ["edge", "qdrant-local", "pgvector"]
if "QDRANT_URL" in os.environ:
    LASTING.append("qdrant-server")


def _make_place(kind: str, request: pytest.FixtureRequest) -> Place:
    prefix = request.getfixturevalue("key_prefix")
    if kind == "memory":
        return MemoryPlace()
    if kind == "edge":
        return EdgePlace(request.getfixturevalue("tmp_path") / "index")
    if kind == "qdrant-local":
        return QdrantPlace(QdrantClient(":memory:"), prefix)
    if kind == "qdrant-server":
        return QdrantPlace(QdrantClient(url=os.environ["QDRANT_URL"], timeout=10), prefix)
    return PgvectorPlace(request.getfixturevalue("engine"), prefix)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """Connections to this test's own database."""
    made = create_engine(make_url(database_url).set(drivername="postgresql+psycopg"), pool_size=8)
    yield made
    made.dispose()


@pytest.fixture(params=["memory", *LASTING])
def index(request: pytest.FixtureRequest) -> Iterator[RebuildableIndex]:
    """An empty index of each kind, prepared."""
    made = _make_place(request.param, request)
    opened = made.open()
    opened.prepare()
    yield opened
    made.leave()


@pytest.fixture(params=LASTING)
def lasting(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A place of each kind that outlives its index."""
    made = _make_place(request.param, request)
    yield made
    made.leave()
