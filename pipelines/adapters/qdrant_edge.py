"""The vector index inside this process: a Qdrant shard on disk, for one machine and one process."""

from __future__ import annotations

import shutil
import threading
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from qdrant_edge import (
    CountRequest,
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeShard,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    IdfParams,
    IntegerIndexParams,
    KeywordIndexParams,
    MatchValue,
    Modifier,
    Point,
    Prefetch,
    Query,
    QueryBatchRequest,
    QueryRequest,
    RangeFloat,
    SearchParams,
    SparseVector,
    UpdateOperation,
)

from pipelines.adapters.collection import (
    DENSE,
    LAYOUT_FIELD,
    LEXICAL,
    check_sole_model,
    collection_name,
    group_by_version,
    merge_hits,
    payload_of,
)
from pipelines.adapters.lexical import document_vector, query_vector
from pipelines.errors import ConfigurationError, IndexUnavailable
from pipelines.model import MemoryId, MemoryState, Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from qdrant_edge import ConditionType, ScoredPoint

    from pipelines.model import Owner, Vector
    from pipelines.ports import Hit, IndexPoint

log = structlog.get_logger(__name__)

_PREFIX = "memstill"
_CONFIG_FILE = "edge_config.json"

# Building a graph stops every query until it is done (53 s for 30,000 vectors on two cores),
# and scanning as many takes 17 ms: the shard stays without a graph.
_NEVER_KB = 1_000_000_000

# The engine rewrites its file when a fifth of it is dead, else it does nothing; 1.3 s for
# 20,000 vectors. Asked for this often it is bounded, and no schedule is needed.
_CHANGES_BETWEEN_VACUUMS = 5_000


class EdgeIndex:
    """Qdrant Edge: the engine of the server without a server.

    Writes go through its write-ahead log, so they survive the death of the process without a
    flush. One process holds a folder at a time.

    Args:
        path: Folder of all collections; this one lies in a folder of its name below.
    """

    def __init__(self, path: Path, model: str, size: int) -> None:
        self._root = path
        self._name = collection_name(_PREFIX, model, size)
        self._size = size
        self._opened: EdgeShard | None = None
        self._changes = 0
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """Open the collection, or create it.

        Raises:
            EmbeddingMismatch: The folder was filled by another embedding model.
            ConfigurationError: Another process holds the folder, or it is unusable.
        """
        if self._opened is not None:
            return
        self._make_root()
        check_sole_model(self._name, (item.parent.name for item in self._config_files()))
        with self._opening():
            self._opened = self._open()
        log.info("index_opened", collection=self._name, points=self._opened.info().points_count)

    def apply(self, upserts: Sequence[IndexPoint], removals: Collection[MemoryId]) -> None:
        shard = self._shard
        with _translated():
            for version, points in group_by_version(upserts):
                shard.update(
                    UpdateOperation.upsert_points(
                        [_to_point(point) for point in points], condition=_not_newer_than(version)
                    )
                )
            if removals:
                shard.update(UpdateOperation.delete_points(list(removals)))
            self._vacuum_sometimes(shard, len(upserts) + len(removals))

    def is_empty(self) -> bool:
        with _translated():
            return not self._shard.count(CountRequest(exact=True))

    def search(
        self,
        owner: Owner,
        session_id: str | None,
        vector: Vector,
        text: str,
        limit: int,
        *,
        as_of: datetime | None = None,
    ) -> list[Hit]:
        visible = _visible_to(owner, session_id, as_of)
        requests = _search_requests(owner, visible, vector, text, limit)
        with _translated():
            legs = self._shard.query_batch(QueryBatchRequest(requests))
        scores = [{_id_of(point): point.score for point in leg} for leg in legs]
        return merge_hits(scores[0], scores[1] if len(scores) > 1 else {})

    def neighbours(
        self, owner: Owner, vectors: Sequence[Vector], limit: int
    ) -> list[list[MemoryId]]:
        requests = [
            QueryRequest(limit=limit, query=_dense(vector), filter=_current_of(owner))
            for vector in vectors
        ]
        with _translated():
            answers = self._shard.query_batch(QueryBatchRequest(requests))
        return [[_id_of(point) for point in answer] for answer in answers]

    def count(self, owner: Owner) -> int:
        with _translated():
            return self._shard.count(CountRequest(exact=True, filter=_owned_by(owner)))

    def close(self) -> None:
        shard, self._opened = self._opened, None
        if shard is not None:
            with _translated():
                shard.flush()
                shard.close()

    @property
    def _shard(self) -> EdgeShard:
        if self._opened is None:
            raise IndexUnavailable("the index is not open")
        return self._opened

    def _make_root(self) -> None:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"the index folder {self._root} cannot be made ({error.strerror}): name a "
                "writable one in MEMSTILL_INDEX_URL"
            ) from error

    def _config_files(self) -> Iterator[Path]:
        return self._root.glob(f"*/{_CONFIG_FILE}")

    def _open(self) -> EdgeShard:
        folder = self._root / self._name
        shard = self._load(folder) if (folder / _CONFIG_FILE).exists() else None
        if shard is None:
            shard = EdgeShard.create(str(folder), _config(self._size))
        _index_fields(shard)
        shard.optimize()
        return shard

    def _load(self, folder: Path) -> EdgeShard | None:
        """The shard as it lies there; one of an earlier layout is removed instead."""
        shard = EdgeShard.load(str(folder), _config(self._size))
        info = shard.info()
        if not info.points_count or LAYOUT_FIELD in info.payload_schema:
            return shard
        shard.close()
        shutil.rmtree(folder)
        log.warning("old_index_dropped", collection=self._name, points=info.points_count)
        return None

    @contextmanager
    def _opening(self) -> Iterator[None]:
        try:
            with _translated():
                yield
        except IndexUnavailable as error:
            folder = self._root / self._name
            if "WouldBlock" in str(error.__cause__):
                raise ConfigurationError(
                    f"another process holds the index {folder}: stop it, or let both use one "
                    "Qdrant server or pgvector (MEMSTILL_INDEX_URL)"
                ) from error
            raise ConfigurationError(
                f"the index {folder} cannot be opened ({error.__cause__}): make the folder "
                "writable, or move it away to start with an empty index"
            ) from error

    def _vacuum_sometimes(self, shard: EdgeShard, changes: int) -> None:
        with self._lock:
            self._changes += changes
            is_due = self._changes >= _CHANGES_BETWEEN_VACUUMS
            if is_due:
                self._changes = 0
        if is_due:
            shard.optimize()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The engine raises plain ``Exception`` for whatever goes wrong, and nothing narrower.
        if type(error) is not Exception:
            raise
        raise IndexUnavailable("Qdrant Edge refused an operation") from error


def _config(size: int) -> EdgeConfig:
    return EdgeConfig(
        vectors={DENSE: EdgeVectorParams(size, Distance.Cosine)},
        sparse_vectors={LEXICAL: EdgeSparseVectorParams(modifier=Modifier.Idf)},
        optimizers=EdgeOptimizersConfig(indexing_threshold=_NEVER_KB),
    )


def _index_fields(shard: EdgeShard) -> None:
    fields: dict[str, KeywordIndexParams | IntegerIndexParams] = {
        "tenant_id": KeywordIndexParams(is_tenant=True),
        "user_id": KeywordIndexParams(),
        "scope": KeywordIndexParams(),
        "session_id": KeywordIndexParams(),
        "version": IntegerIndexParams(lookup=False, range=True),
        "state": KeywordIndexParams(),
        "valid_from": IntegerIndexParams(lookup=False, range=True),
        "valid_to": IntegerIndexParams(lookup=False, range=True),
    }
    present = shard.info().payload_schema
    for name, schema in fields.items():
        if name not in present:
            shard.update(UpdateOperation.create_field_index(name, schema))


def _to_point(point: IndexPoint) -> Point:
    words = document_vector(point.text)
    return Point(
        uuid.UUID(int=point.memory_id.int),
        {
            DENSE: point.vector.tolist(),
            LEXICAL: SparseVector(list(words.indices), list(words.values)),
        },
        payload_of(point),
    )


def _search_requests(
    owner: Owner, visible: Filter, vector: Vector, text: str, limit: int
) -> list[QueryRequest]:
    """The candidates of both legs, scored once by cosine and once by words."""
    words = query_vector(text)
    dense, by_owner = _dense(vector), SearchParams(idf=IdfParams(corpus=_owned_by(owner)))
    if not words:
        return [QueryRequest(limit=limit, query=dense, filter=visible)]
    lexical = Query.Nearest(SparseVector(list(words.indices), list(words.values)), using=LEXICAL)
    legs = [
        Prefetch(limit=limit, query=dense, filter=visible),
        Prefetch(limit=limit, query=lexical, filter=visible, params=by_owner),
    ]
    return [
        QueryRequest(limit=2 * limit, query=dense, prefetches=legs),
        QueryRequest(limit=2 * limit, query=lexical, prefetches=legs, params=by_owner),
    ]


def _dense(vector: Vector) -> Query:
    return Query.Nearest(vector.tolist(), using=DENSE)


def _id_of(point: ScoredPoint) -> MemoryId:
    return MemoryId(uuid.UUID(str(point.id)))


def _is(field: str, value: str) -> FieldCondition:
    return FieldCondition(field, match=MatchValue(value))


def _owned_by(owner: Owner) -> Filter:
    return Filter(must=[_is("tenant_id", owner.tenant_id), _is("user_id", owner.user_id)])


def _current_of(owner: Owner) -> Filter:
    return Filter(must=[_owned_by(owner), _is("state", MemoryState.ACTIVE)])


def _visible_to(owner: Owner, session_id: str | None, as_of: datetime | None) -> Filter:
    scopes: list[ConditionType] = [_is("scope", wide) for wide in (Scope.USER, Scope.GLOBAL)]
    if session_id is not None:
        scopes.append(_is("session_id", session_id))
    mine = _current_of(owner) if as_of is None else Filter(must=[_owned_by(owner), *_held(as_of)])
    return Filter(must=[mine, Filter(should=scopes)])


def _held(as_of: datetime) -> list[ConditionType]:
    at = as_of.timestamp()
    return [
        FieldCondition("valid_from", range=RangeFloat(lte=at)),
        FieldCondition("valid_to", range=RangeFloat(gt=at)),
    ]


def _not_newer_than(version: int) -> Filter:
    return Filter(must=[FieldCondition("version", range=RangeFloat(lte=version))])
