"""What a Qdrant server is asked: points, filters and requests in the client's own types."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from qdrant_client import models

from pipelines.adapters.collection import DENSE, LEXICAL, payload_of
from pipelines.adapters.lexical import document_vector, query_vector
from pipelines.model import MemoryId, MemoryState, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.model import Owner, Vector
    from pipelines.ports import IndexPoint

_LINKS_PER_NODE = 16

# No query leaves tenant and user out, so a graph over everybody's points would never be walked:
# only each user's own points are linked.
GRAPH = models.HnswConfigDiff(m=0, payload_m=_LINKS_PER_NODE)


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
FIELDS: dict[str, models.PayloadSchemaParams] = {
    "tenant_id": _keyword(is_tenant=True),
    "user_id": _keyword(has_graph=True),
    "scope": _keyword(),
    "session_id": _keyword(),
    "version": _range(),
    "state": _keyword(),
    "valid_from": _range(),
    "valid_to": _range(),
}


def upsert_of(version: int, points: Sequence[IndexPoint]) -> models.UpsertOperation:
    """Store these points, as far as there is nothing newer."""
    return models.UpsertOperation(
        upsert=models.PointsList(
            points=[_to_point(point) for point in points],
            update_filter=models.Filter(must=[_not_newer_than(version)]),
        )
    )


def removal_of(version: int | None, keys: Sequence[MemoryId]) -> models.DeleteOperation:
    """Remove these points, as far as they are not newer."""
    ids: list[models.ExtendedPointId] = [str(key) for key in keys]
    if version is None:
        return models.DeleteOperation(delete=models.PointIdsList(points=ids))
    condition = models.Filter(must=[models.HasIdCondition(has_id=ids), _not_newer_than(version)])
    return models.DeleteOperation(delete=models.FilterSelector(filter=condition))


def _not_newer_than(version: int) -> models.FieldCondition:
    return models.FieldCondition(key="version", range=models.Range(lte=version))


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


def search_requests(
    owner: Owner, visible: models.Filter, vector: Vector, text: str, limit: int
) -> list[models.QueryRequest]:
    """The candidates of both legs, scored once by cosine and once by words."""
    words, dense = query_vector(text), dense_query(vector)
    if not words:
        return [models.QueryRequest(query=dense, using=DENSE, filter=visible, limit=limit)]
    by_owner = models.SearchParams(idf=models.IdfCorpusParams(corpus=owned_by(owner)))
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


def dense_query(vector: Vector) -> models.NearestQuery:
    """Nearest by meaning."""
    return models.NearestQuery(nearest=vector.tolist())


def id_of(point: models.ScoredPoint) -> MemoryId:
    """The memory that a point stands for."""
    return MemoryId(uuid.UUID(str(point.id)))


def _is(field: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def owned_by(owner: Owner) -> models.Filter:
    """All of an owner."""
    return models.Filter(must=[_is("tenant_id", owner.tenant_id), _is("user_id", owner.user_id)])


def current_of(owner: Owner) -> models.Filter:
    """What holds, of an owner."""
    return models.Filter(must=[owned_by(owner), _is("state", MemoryState.ACTIVE)])


def visible_to(owner: Owner, session_id: str | None, as_of: datetime | None) -> models.Filter:
    """What a session of the owner may find, now or as of a date."""
    scopes: list[models.Condition] = [_is("scope", wide) for wide in (Scope.USER, Scope.GLOBAL)]
    if session_id is not None:
        scopes.append(_is("session_id", session_id))
    mine = current_of(owner) if as_of is None else _held_by(owner, as_of)
    return models.Filter(must=[mine, models.Filter(should=scopes)])


def _held_by(owner: Owner, as_of: datetime) -> models.Filter:
    at = as_of.timestamp()
    began = models.FieldCondition(key="valid_from", range=models.Range(lte=at))
    lasts = models.FieldCondition(key="valid_to", range=models.Range(gt=at))
    return models.Filter(must=[owned_by(owner), began, lasts])
