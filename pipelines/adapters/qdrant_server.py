"""The vector index on a Qdrant server, shared by any number of processes."""

from __future__ import annotations

import threading
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
    SCANNED_FIELDS,
    check_sole_model,
    collection_name,
    first_behind,
    group_by_version,
    group_removals,
    merge_hits,
    plain_name,
    read_scanned,
    successor_name,
)
from pipelines.adapters.floor import floor
from pipelines.adapters.qdrant_requests import (
    FIELDS,
    GRAPH,
    current_of,
    dense_query,
    id_of,
    owned_by,
    removal_of,
    search_requests,
    upsert_of,
    visible_to,
)
from pipelines.errors import (
    ConfigurationError,
    EmbeddingMismatch,
    IndexRefused,
    IndexUnavailable,
)
from pipelines.ports import ANYWHERE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from datetime import datetime

    from qdrant_client import QdrantClient

    from pipelines.model import MemoryId, Owner, Vector
    from pipelines.ports import Hit, IndexedPoint, IndexPoint, Removal

log = structlog.get_logger(__name__)

_TIMEOUT_SECONDS = 10
# Of the name that is asked; the collection behind it changes when the index is built anew.
_ALIAS_SUFFIX = ".live"
_REFUSALS = {HTTPStatus.BAD_REQUEST, HTTPStatus.UNPROCESSABLE_ENTITY}

# The first release that computes word statistics over one owner's points.
_OLDEST_SERVER = (1, 19)


class _Server:
    """The connection, with errors translated.

    In local mode (``:memory:``) calls are taken one at a time, because that mode is not safe for
    threads.
    """

    def __init__(self, client: QdrantClient) -> None:
        self.client = client
        options = client.init_options
        self.is_local = options.get("location") == ":memory:" or bool(options.get("path"))
        self._one_at_a_time = threading.Lock() if self.is_local else nullcontext()

    def check(self) -> None:
        """Refuse a server that is too old."""
        found = self.client.info().version
        if tuple(int(part) for part in found.split(".")[:2]) < _OLDEST_SERVER:
            oldest = ".".join(str(part) for part in _OLDEST_SERVER)
            raise ConfigurationError(f"Qdrant {found} is too old: {oldest} or newer is needed")

    @contextmanager
    def call(self) -> Iterator[None]:
        """Translate whatever goes wrong inside."""
        try:
            with floor.left(), self._one_at_a_time:
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
        except ValueError as error:
            # The imitation says so of a collection that is not there.
            if not self.is_local:
                raise
            raise IndexUnavailable(f"Qdrant: {type(error).__name__}") from error


class QdrantCollection:
    """Points of all tenants in one collection; every query names tenant and user.

    Args:
        name: Of a collection, or of an alias.
    """

    def __init__(self, server: _Server, name: str, size: int) -> None:
        self.name = name
        self._server = server
        self._size = size

    def prepare(self) -> None:
        """Create it unless it is there, and its field indexes."""
        with self._server.call():
            if not self._server.client.collection_exists(self.name):
                self.create()
            self.index_fields()

    def apply(self, upserts: Sequence[IndexPoint], removals: Collection[Removal]) -> None:
        operations: list[models.UpdateOperation] = [
            upsert_of(version, points) for version, points in group_by_version(upserts)
        ]
        operations += [
            removal_of(decided_at, keys) for decided_at, keys in group_removals(removals).items()
        ]
        if not operations:
            return
        with self._server.call():
            self._server.client.batch_update_points(
                self.name, operations, wait=True, timeout=_TIMEOUT_SECONDS
            )

    def remove_owner(self, owner: Owner) -> None:
        with self._server.call():
            self._server.client.delete(
                self.name, owned_by(owner), wait=True, timeout=_TIMEOUT_SECONDS
            )

    def scan(self, after: MemoryId | None, limit: int) -> list[IndexedPoint]:
        first = first_behind(after)
        if first is None:
            return []
        with self._server.call():
            found, _ = self._server.client.scroll(
                self.name,
                limit=limit,
                offset=str(first),
                with_payload=list(SCANNED_FIELDS),
                timeout=_TIMEOUT_SECONDS,
            )
        return [read_scanned(record.id, record.payload or {}) for record in found]

    def is_empty(self) -> bool:
        with self._server.call():
            return not self._server.client.count(
                self.name, exact=True, timeout=_TIMEOUT_SECONDS
            ).count

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
        visible = visible_to(owner, session_id, as_of)
        answers = self._query(search_requests(owner, visible, vector, text, limit))
        scores = [{id_of(point): point.score for point in answer} for answer in answers]
        return merge_hits(scores[0], scores[1] if len(scores) > 1 else {})

    def neighbours(
        self, owner: Owner, vectors: Sequence[Vector], limit: int, *, min_cosine: float = ANYWHERE
    ) -> list[list[MemoryId]]:
        if not vectors:
            return []
        mine = current_of(owner)
        requests = [
            models.QueryRequest(
                query=dense_query(vector),
                using=DENSE,
                filter=mine,
                limit=limit,
                score_threshold=min_cosine,
            )
            for vector in vectors
        ]
        return [[id_of(point) for point in answer] for answer in self._query(requests)]

    def count(self, owner: Owner) -> int:
        with self._server.call():
            answer = self._server.client.count(
                self.name, owned_by(owner), exact=True, timeout=_TIMEOUT_SECONDS
            )
        return answer.count

    def close(self) -> None:
        with self._server.call():
            self._server.client.close()

    def _query(self, requests: Sequence[models.QueryRequest]) -> list[list[models.ScoredPoint]]:
        with self._server.call():
            answers = self._server.client.query_batch_points(
                self.name, requests, timeout=_TIMEOUT_SECONDS
            )
        return [answer.points for answer in answers]

    def create(self) -> None:
        """Create it; nothing happens if another process was faster."""
        try:
            self._server.client.create_collection(
                self.name,
                vectors_config={
                    DENSE: models.VectorParams(size=self._size, distance=models.Distance.COSINE)
                },
                sparse_vectors_config={
                    LEXICAL: models.SparseVectorParams(modifier=models.Modifier.IDF)
                },
                hnsw_config=GRAPH,
                timeout=_TIMEOUT_SECONDS,
            )
        except UnexpectedResponse as error:
            if error.status_code != HTTPStatus.CONFLICT:  # another process was faster
                raise
        log.info("collection_created", collection=self.name)

    def check_size(self) -> None:
        """Refuse a collection that was made for other vectors."""
        vectors = self._server.client.get_collection(self.name).config.params.vectors
        dense = vectors.get(DENSE) if isinstance(vectors, dict) else vectors
        found = dense.size if dense else None
        if found != self._size:
            raise EmbeddingMismatch(
                f"the collection {self.name!r} holds vectors of size {found}, the configured "
                f"embedding model makes {self._size}: set the embedding model back, or start "
                "on an empty index"
            )

    def index_fields(self) -> None:
        """Index the fields by which it is filtered."""
        if self._server.is_local:  # which has no field indexes
            return
        for name, schema in FIELDS.items():
            self._server.client.create_payload_index(
                self.name, name, field_schema=schema, wait=True, timeout=_TIMEOUT_SECONDS
            )


class QdrantServerIndex(QdrantCollection):
    """The collection that an alias names; another can take its place.

    Args:
        client: Owned by the index from here on.
    """

    def __init__(self, client: QdrantClient, prefix: str, model: str, size: int) -> None:
        self._first = collection_name(prefix, model, size)
        super().__init__(_Server(client), f"{self._first}{_ALIAS_SUFFIX}", size)

    def prepare(self) -> None:
        """Create the collection and its field indexes, or check them.

        Raises:
            EmbeddingMismatch: It holds vectors of another size, or another model's exists.
            ConfigurationError: The server is too old, or refuses the key.
            IndexUnavailable: The server does not answer.
        """
        with self._server.call():
            self._server.check()
            names = self._list_names()
            check_sole_model(self._first, map(plain_name, names))
            live = self._find_live()
            filled = live or (self._first if self._first in names else None)
            if filled is None or self._drop_old_layout(filled):
                QdrantCollection(self._server, self._first, self._size).create()
                self._point_to(self._first)
            elif live is None:
                self._point_to(filled)  # an earlier release knew no alias
            self.check_size()
            self.index_fields()

    def tend(self) -> int:
        """Nothing: the server makes its graphs by itself."""
        return 0

    def successor(self, token: str) -> QdrantCollection:
        return QdrantCollection(self._server, successor_name(self._first, token), self._size)

    def make_successor(self, token: str) -> bool:
        made = self.successor(token)
        with self._server.call():
            if self._server.client.collection_exists(made.name):
                return False
            made.create()
            made.index_fields()
        return True

    def is_switched(self, token: str) -> bool:
        with self._server.call():
            return self._find_live() == successor_name(self._first, token)

    def switch(self, token: str) -> None:
        with self._server.call():
            self._point_to(successor_name(self._first, token))

    def drop_leftovers(self, keep: str | None) -> int:
        with self._server.call():
            kept = {self._find_live(), None if keep is None else successor_name(self._first, keep)}
            family = [name for name in self._list_names() if plain_name(name) == self._first]
            left = [name for name in family if name not in kept]
            for name in left:
                self._server.client.delete_collection(name, timeout=_TIMEOUT_SECONDS)
                log.info("collection_dropped", collection=name)
        return len(left)

    def _drop_old_layout(self, name: str) -> bool:
        """Whether there was a filled collection of an earlier layout; it is gone now."""
        if self._server.is_local:  # which never outlives its process
            return False
        found = self._server.client.get_collection(name)
        if not found.points_count or LAYOUT_FIELD in found.payload_schema:
            return False
        self._server.client.delete_collection(name, timeout=_TIMEOUT_SECONDS)
        log.warning("old_index_dropped", collection=name, points=found.points_count)
        return True

    def _point_to(self, name: str) -> None:
        """All of it happens in one step on the server: the alias never names nothing."""
        operations: list[models.AliasOperations] = []
        if self._find_live() is not None:
            operations.append(
                models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=self.name))
            )
        created = models.CreateAlias(collection_name=name, alias_name=self.name)
        operations.append(models.CreateAliasOperation(create_alias=created))
        self._server.client.update_collection_aliases(operations, timeout=_TIMEOUT_SECONDS)
        log.info("index_switched", collection=name)

    def _find_live(self) -> str | None:
        aliases = self._server.client.get_aliases().aliases
        return next(
            (item.collection_name for item in aliases if item.alias_name == self.name), None
        )

    def _list_names(self) -> list[str]:
        return [item.name for item in self._server.client.get_collections().collections]
