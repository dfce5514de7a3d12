"""The vector index on a Qdrant server, shared by any number of processes."""

from __future__ import annotations

import threading
import uuid
from contextlib import contextmanager, nullcontext
from http import HTTPStatus
from json import JSONDecodeError
from typing import TYPE_CHECKING

import structlog
from qdrant_client import models
from qdrant_client.common.client_exceptions import QdrantException
from qdrant_client.http.exceptions import (
    ApiException,
    ResponseHandlingException,
    UnexpectedResponse,
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
from pipelines.errors import (
    ConfigurationError,
    EmbeddingMismatch,
    IndexRefused,
    IndexUnavailable,
)
from pipelines.model import MemoryId, MemoryState, Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from qdrant_client import QdrantClient

    from pipelines.model import Owner, Vector
    from pipelines.ports import Hit, IndexPoint

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 10
_LINKS_PER_NODE = 16
_REFUSALS = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}

# The first release that computes word statistics over one owner's points.
_OLDEST_SERVER = (1, 19)


class QdrantServerIndex:
    """One collection for all tenants; every query names tenant and user.

    Args:
        client: Owned by the index from here on. In local mode (``:memory:``) calls are taken
            one at a time, because that mode is not safe for threads.
    """

    def __init__(self, client: QdrantClient, prefix: str, model: str, size: int) -> None:
        self._client = client
        self._name = collection_name(prefix, model, size)
        self._size = size
        options = client.init_options
        self._is_local = options.get("location") == ":memory:" or bool(options.get("path"))
        self._one_at_a_time = threading.Lock() if self._is_local else nullcontext()

    def prepare(self) -> None:
        """Create the collection and its field indexes, or check them.

        Raises:
            EmbeddingMismatch: It holds vectors of another size, or another model's exists.
            ConfigurationError: The server is too old, or refuses the key.
            IndexUnavailable: The server does not answer.
        """
        with self._call():
            self._check_server()
            names = [item.name for item in self._client.get_collections().collections]
            check_sole_model(self._name, names)
            if self._name not in names or self._drop_old_layout():
                self._create()
            self._check_size()
            if not self._is_local:  # which has no field indexes
                self._index_fields()

    def apply(self, upserts: Sequence[IndexPoint], removals: Collection[MemoryId]) -> None:
        operations: list[models.UpdateOperation] = [
            _upsert(version, points) for version, points in group_by_version(upserts)
        ]
        if removals:
            ids: list[models.ExtendedPointId] = [str(key) for key in removals]
            operations.append(models.DeleteOperation(delete=models.PointIdsList(points=ids)))
        if not operations:
            return
        with self._call():
            self._client.batch_update_points(
                self._name, operations, wait=True, timeout=_TIMEOUT_SECONDS
            )

    def is_empty(self) -> bool:
        with self._call():
            return not self._client.count(self._name, exact=True, timeout=_TIMEOUT_SECONDS).count

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
        answers = self._query(_search_requests(owner, visible, vector, text, limit))
        scores = [{_id_of(point): point.score for point in answer} for answer in answers]
        return merge_hits(scores[0], scores[1] if len(scores) > 1 else {})

    def neighbours(
        self, owner: Owner, vectors: Sequence[Vector], limit: int
    ) -> list[list[MemoryId]]:
        if not vectors:
            return []
        mine = _current_of(owner)
        requests = [
            models.QueryRequest(query=_dense(vector), using=DENSE, filter=mine, limit=limit)
            for vector in vectors
        ]
        return [[_id_of(point) for point in answer] for answer in self._query(requests)]

    def count(self, owner: Owner) -> int:
        with self._call():
            answer = self._client.count(
                self._name, _owned_by(owner), exact=True, timeout=_TIMEOUT_SECONDS
            )
        return answer.count

    def close(self) -> None:
        with self._call():
            self._client.close()

    def _query(self, requests: Sequence[models.QueryRequest]) -> list[list[models.ScoredPoint]]:
        with self._call():
            answers = self._client.query_batch_points(
                self._name, requests, timeout=_TIMEOUT_SECONDS
            )
        return [answer.points for answer in answers]

    @contextmanager
    def _call(self) -> Iterator[None]:
        try:
            with self._one_at_a_time:
                yield
        except UnexpectedResponse as error:
            if error.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
                raise ConfigurationError(
                    f"Qdrant refuses the key ({error.status_code}): set MEMSTILL_INDEX_API_KEY"
                ) from error
            if error.status_code in _REFUSALS:
                raise IndexRefused(f"Qdrant answered {error.status_code}") from error
            raise IndexUnavailable(f"Qdrant answered {error.status_code}") from error
        except ResponseHandlingException as error:
            raise IndexUnavailable(f"Qdrant: {type(error.source).__name__}") from error
        except (ApiException, QdrantException, JSONDecodeError) as error:
            raise IndexUnavailable(f"Qdrant: {type(error).__name__}") from error

    def _check_server(self) -> None:
        found = self._client.info().version
        if tuple(int(part) for part in found.split(".")[:2]) < _OLDEST_SERVER:
            oldest = ".".join(str(part) for part in _OLDEST_SERVER)
            raise ConfigurationError(f"Qdrant {found} is too old: {oldest} or newer is needed")

    def _create(self) -> None:
        try:
            self._client.create_collection(
                self._name,
                vectors_config={
                    DENSE: models.VectorParams(size=self._size, distance=models.Distance.COSINE)
                },
                sparse_vectors_config={
                    LEXICAL: models.SparseVectorParams(modifier=models.Modifier.IDF)
                },
                # No query leaves tenant and user out, so a graph over everybody's points
                # would never be walked: only each user's own points are linked.
                hnsw_config=models.HnswConfigDiff(m=0, payload_m=_LINKS_PER_NODE),
                timeout=_TIMEOUT_SECONDS,
            )
        except UnexpectedResponse as error:
            if error.status_code != HTTPStatus.CONFLICT:  # another process was faster
                raise
        log.info("collection_created", collection=self._name)

    def _drop_old_layout(self) -> bool:
        """Whether there was a filled collection of an earlier layout; it is gone now."""
        if self._is_local:  # which never outlives its process
            return False
        found = self._client.get_collection(self._name)
        if not found.points_count or LAYOUT_FIELD in found.payload_schema:
            return False
        self._client.delete_collection(self._name, timeout=_TIMEOUT_SECONDS)
        log.warning("old_index_dropped", collection=self._name, points=found.points_count)
        return True

    def _check_size(self) -> None:
        vectors = self._client.get_collection(self._name).config.params.vectors
        dense = vectors.get(DENSE) if isinstance(vectors, dict) else vectors
        found = dense.size if dense else None
        if found != self._size:
            raise EmbeddingMismatch(
                f"the collection {self._name!r} holds vectors of size {found}, the configured "
                f"embedding model makes {self._size}: set the embedding model back, or start "
                "on an empty index"
            )

    def _index_fields(self) -> None:
        for name, schema in _FIELDS.items():
            self._client.create_payload_index(
                self._name, name, field_schema=schema, wait=True, timeout=_TIMEOUT_SECONDS
            )


def _keyword(*, is_tenant: bool = False, has_graph: bool = False) -> models.KeywordIndexParams:
    return models.KeywordIndexParams(
        type=models.KeywordIndexType.KEYWORD, is_tenant=is_tenant, enable_hnsw=has_graph
    )


def _range() -> models.IntegerIndexParams:
    return models.IntegerIndexParams(
        type=models.IntegerIndexType.INTEGER, lookup=False, range=True, enable_hnsw=False
    )


# Points of a tenant lie together on disk. Only a user's are linked into a graph, and the engine
# walks it only where a scan would be slower (some thousands of points); a graph for a tenant or
# a scope would hold nearly everything, which m=0 has just saved.
_FIELDS: dict[str, models.PayloadSchemaParams] = {
    "tenant_id": _keyword(is_tenant=True),
    "user_id": _keyword(has_graph=True),
    "scope": _keyword(),
    "session_id": _keyword(),
    "version": _range(),
    "state": _keyword(),
    "valid_from": _range(),
    "valid_to": _range(),
}


def _upsert(version: int, points: Sequence[IndexPoint]) -> models.UpsertOperation:
    return models.UpsertOperation(
        upsert=models.PointsList(
            points=[_to_point(point) for point in points],
            update_filter=models.Filter(
                must=[models.FieldCondition(key="version", range=models.Range(lte=version))]
            ),
        )
    )


def _to_point(point: IndexPoint) -> models.PointStruct:
    words = document_vector(point.text)
    return models.PointStruct(
        id=str(point.memory_id),
        vector={
            DENSE: point.vector.tolist(),
            LEXICAL: models.SparseVector(indices=list(words.indices), values=list(words.values)),
        },
        payload=payload_of(point),
    )


def _search_requests(
    owner: Owner, visible: models.Filter, vector: Vector, text: str, limit: int
) -> list[models.QueryRequest]:
    """The candidates of both legs, scored once by cosine and once by words."""
    words, dense = query_vector(text), _dense(vector)
    if not words:
        return [models.QueryRequest(query=dense, using=DENSE, filter=visible, limit=limit)]
    by_owner = models.SearchParams(idf=models.IdfCorpusParams(corpus=_owned_by(owner)))
    lexical = models.NearestQuery(
        nearest=models.SparseVector(indices=list(words.indices), values=list(words.values))
    )
    legs = [
        models.Prefetch(query=dense, using=DENSE, filter=visible, limit=limit),
        models.Prefetch(query=lexical, using=LEXICAL, filter=visible, limit=limit, params=by_owner),
    ]
    return [
        models.QueryRequest(prefetch=legs, query=dense, using=DENSE, limit=2 * limit),
        models.QueryRequest(
            prefetch=legs, query=lexical, using=LEXICAL, limit=2 * limit, params=by_owner
        ),
    ]


def _dense(vector: Vector) -> models.NearestQuery:
    return models.NearestQuery(nearest=vector.tolist())


def _id_of(point: models.ScoredPoint) -> MemoryId:
    return MemoryId(uuid.UUID(str(point.id)))


def _is(field: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def _owned_by(owner: Owner) -> models.Filter:
    return models.Filter(must=[_is("tenant_id", owner.tenant_id), _is("user_id", owner.user_id)])


def _current_of(owner: Owner) -> models.Filter:
    return models.Filter(must=[_owned_by(owner), _is("state", MemoryState.ACTIVE)])


def _visible_to(owner: Owner, session_id: str | None, as_of: datetime | None) -> models.Filter:
    scopes: list[models.Condition] = [_is("scope", wide) for wide in (Scope.USER, Scope.GLOBAL)]
    if session_id is not None:
        scopes.append(_is("session_id", session_id))
    mine = _current_of(owner) if as_of is None else _held_by(owner, as_of)
    return models.Filter(must=[mine, models.Filter(should=scopes)])


def _held_by(owner: Owner, as_of: datetime) -> models.Filter:
    at = as_of.timestamp()
    began = models.FieldCondition(key="valid_from", range=models.Range(lte=at))
    lasts = models.FieldCondition(key="valid_to", range=models.Range(gt=at))
    return models.Filter(must=[_owned_by(owner), began, lasts])
