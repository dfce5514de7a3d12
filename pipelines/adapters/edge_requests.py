"""What Qdrant Edge is asked: points, filters and requests in the engine's own types."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, cast

from qdrant_edge import (
    Distance,
    EdgeConfig,
    EdgeOptimizersConfig,
    EdgeSparseVectorParams,
    EdgeVectorParams,
    FieldCondition,
    Filter,
    HasIdCondition,
    IdfParams,
    IntegerIndexParams,
    KeywordIndexParams,
    MatchAny,
    MatchValue,
    Modifier,
    Point,
    Query,
    QueryRequest,
    RangeFloat,
    SearchParams,
    SparseVector,
    UpdateOperation,
)

from pipelines.adapters.collection import DENSE, LEXICAL, number_of, payload_of
from pipelines.adapters.lexical import document_vector, query_vector
from pipelines.model import MemoryId, MemoryState, Scope

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from qdrant_edge import ConditionType, EdgeShard, ScoredPoint

    from pipelines.model import Owner, Vector
    from pipelines.ports import IndexPoint

# Building a graph stops every query until it is done (53 s for 30,000 vectors on two cores),
# and scanning as many takes 17 ms: the shard stays without a graph.
_NEVER_KB = 1_000_000_000
# A shard without this field is of an earlier layout: nothing in it would be found.
LAYOUT_FIELD = "found_by"
# What beside the names of an owner: no name has such a sign in it.
_CURRENT, _TOLD, _TOLD_IN = "\x01current", "\x01told", "\x01told in"


def make_config(size: int) -> EdgeConfig:
    """Vectors of both kinds, and no graph."""
    return EdgeConfig(
        vectors={DENSE: EdgeVectorParams(size, Distance.Cosine)},
        sparse_vectors={LEXICAL: EdgeSparseVectorParams(modifier=Modifier.Idf)},
        optimizers=EdgeOptimizersConfig(indexing_threshold=_NEVER_KB),
    )


def index_fields(shard: EdgeShard) -> None:
    """Index the fields of a shard by which it is filtered, as far as they are not."""
    fields: dict[str, KeywordIndexParams | IntegerIndexParams] = {
        LAYOUT_FIELD: IntegerIndexParams(lookup=True, range=False),
        "tenant_id": KeywordIndexParams(is_tenant=True),
        "user_id": KeywordIndexParams(),
        "scope": KeywordIndexParams(),
        "session_id": KeywordIndexParams(),
        "version": IntegerIndexParams(lookup=False, range=True),
        "valid_from": IntegerIndexParams(lookup=False, range=True),
        "valid_to": IntegerIndexParams(lookup=False, range=True),
    }
    present = shard.info().payload_schema
    for name, schema in fields.items():
        if name not in present:
            shard.update(UpdateOperation.create_field_index(name, schema))


def to_point(point: IndexPoint) -> Point:
    """A memory as the engine stores it."""
    words = document_vector(point.text)
    return Point(
        uuid.UUID(int=point.memory_id.int),
        {
            DENSE: point.vector.tolist(),
            LEXICAL: SparseVector(list(words.indices), list(words.values)),
        },
        {**payload_of(point), LAYOUT_FIELD: _numbers_of(point)},
    )


def _numbers_of(point: IndexPoint) -> list[int]:
    """By what a point is found: where many are looked at, a number is compared faster than names.

    One for all of an owner, one for what holds, and one for whom it is told.
    """
    names = point.owner.names
    numbers = [number_of(*names)]
    if point.state is MemoryState.ACTIVE:
        is_own = point.scope is Scope.SESSION
        told = (*names, _TOLD_IN, point.session_id) if is_own else (*names, _TOLD)
        numbers += [number_of(*names, _CURRENT), number_of(*told)]
    return numbers


def near_request(owner: Owner, vector: Vector, limit: int, min_cosine: float) -> QueryRequest:
    """What of this owner holds and is nearest."""
    return QueryRequest(
        limit=limit,
        query=dense_query(vector),
        filter=current_of(owner),
        score_threshold=min_cosine,
    )


def search_legs(
    owner: Owner, visible: Filter, vector: Vector, text: str, limit: int
) -> tuple[QueryRequest, QueryRequest | None]:
    """The best by cosine, and the best by words; None where there is no word to search by."""
    dense = QueryRequest(limit=limit, query=dense_query(vector), filter=visible)
    words = query_vector(text)
    if not words:
        return dense, None
    lexical = Query.Nearest(SparseVector(list(words.indices), list(words.values)), using=LEXICAL)
    by_owner = SearchParams(idf=IdfParams(corpus=_numbered(owner.names)))
    return dense, QueryRequest(limit=limit, query=lexical, filter=visible, params=by_owner)


def only_among(leg: QueryRequest, keys: Collection[MemoryId]) -> QueryRequest:
    """The same question, asked of these alone."""
    wanted = Filter(must=[HasIdCondition(set(keys))])
    return QueryRequest(limit=len(keys), query=leg.query, filter=wanted, params=leg.params)


def dense_query(vector: Vector) -> Query:
    """Nearest by meaning."""
    return Query.Nearest(vector.tolist(), using=DENSE)


def id_of(point: ScoredPoint) -> MemoryId:
    """The memory that a point stands for."""
    # Here they are all of that type, which to make anew costs more than to search.
    return MemoryId(cast("uuid.UUID", point.id))


def _is(field: str, value: str) -> FieldCondition:
    return FieldCondition(field, match=MatchValue(value))


def owned_by(owner: Owner) -> Filter:
    """All of an owner."""
    return Filter(must=[_is("tenant_id", owner.tenant_id), _is("user_id", owner.user_id)])


def current_of(owner: Owner) -> Filter:
    """What holds, of an owner."""
    return _numbered((*owner.names, _CURRENT))


def visible_to(owner: Owner, session_id: str | None, as_of: datetime | None) -> Filter:
    """What a session of the owner may find, now or as of a date."""
    if as_of is not None:
        scopes: list[ConditionType] = [_is("scope", wide) for wide in (Scope.USER, Scope.GLOBAL)]
        if session_id is not None:
            scopes.append(_is("session_id", session_id))
        return Filter(must=[_numbered(owner.names), *_held(as_of), Filter(should=scopes)])
    told: list[tuple[str, ...]] = [(*owner.names, _TOLD)]
    if session_id is not None:
        told.append((*owner.names, _TOLD_IN, session_id))
    return _numbered(*told)


def _numbered(*names: Sequence[str]) -> Filter:
    numbers = [number_of(*each) for each in names]
    match = MatchValue(numbers[0]) if len(numbers) == 1 else MatchAny(numbers)
    return Filter(must=[FieldCondition(LAYOUT_FIELD, match=match)])


def _held(as_of: datetime) -> list[ConditionType]:
    at = as_of.timestamp()
    return [
        FieldCondition("valid_from", range=RangeFloat(lte=at)),
        FieldCondition("valid_to", range=RangeFloat(gt=at)),
    ]


def not_newer_than(version: int) -> Filter:
    """What an operation decided at a version may touch."""
    return Filter(must=[FieldCondition("version", range=RangeFloat(lte=version))])


def removal_of(version: int | None, keys: Sequence[MemoryId]) -> UpdateOperation:
    """Remove these points, as far as they are not newer."""
    if version is None:
        return UpdateOperation.delete_points(list(keys))
    condition = Filter(must=[HasIdCondition(set(keys)), not_newer_than(version)])
    return UpdateOperation.delete_points_by_filter(condition)
