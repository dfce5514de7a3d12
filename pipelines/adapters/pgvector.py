"""The vector index inside PostgreSQL, for installations without a Qdrant server.

Every query names tenant and user, so the plan is to read one user's rows through the index on
the owner and to compare all of them exactly; a user with many memories has a graph instead.
Words are found by an index of terms, and weighed by that user's rows alone.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from operator import attrgetter
from typing import TYPE_CHECKING

import structlog
from psycopg.errors import UndefinedTable
from sqlalchemy import text
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from pipelines.adapters.collection import (
    MAX_NAME,
    check_sole_model,
    collection_name,
    merge_hits,
    read_scanned,
    successor_name,
)
from pipelines.adapters.lexical import query_vector
from pipelines.adapters.pgvector_format import BinaryVector, own_terms
from pipelines.adapters.pgvector_graphs import LARGE, Graphs
from pipelines.adapters.pgvector_queries import make_neighbours, make_search
from pipelines.adapters.pgvector_rows import (
    CREATE,
    REMOVE,
    REMOVE_OWNER,
    UPSERT,
    to_row,
    write_order,
)
from pipelines.errors import (
    ConfigurationError,
    EmbeddingMismatch,
    IndexRefused,
    IndexUnavailable,
)
from pipelines.model import MemoryId
from pipelines.ports import ANYWHERE, TOKEN_LENGTH

if TYPE_CHECKING:
    import uuid
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import Connection, Engine, TextClause

    from pipelines.adapters.pgvector_graphs import Graph
    from pipelines.model import Owner, Vector
    from pipelines.ports import Hit, IndexedPoint, IndexPoint, Removal

log = structlog.get_logger(__name__)

# There is a statement for each number of vectors up to this one.
_ASKED_AT_ONCE = 32
# A table without this column is of an earlier layout.
_LAYOUT_FIELD = "owner_number"
_LOCK = "SELECT pg_advisory_xact_lock(hashtext('memstill.pgvector'))"
_HAS_EXTENSION = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector')"
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
_HAS_FIELD = """
SELECT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = CAST(:table AS regclass) AND attname = :field AND NOT attisdropped
)
"""
_SIZE = """
SELECT atttypmod FROM pg_attribute
WHERE attrelid = CAST(:table AS regclass) AND attname = 'embedding'
"""
_SCAN = "SELECT memory_id, tenant_id, user_id, scope, version, state FROM {table}"
_SCAN_FIRST = f"{_SCAN} ORDER BY memory_id LIMIT :limit"
_SCAN_BEHIND = f"{_SCAN} WHERE memory_id > :after ORDER BY memory_id LIMIT :limit"
_DROP = "DROP TABLE {table}"
_TAKE_PLACE = """
DROP TABLE IF EXISTS {live};
ALTER TABLE {table} RENAME TO {live}
"""
_IS_EMPTY = "SELECT NOT EXISTS (SELECT FROM {table})"
_COUNT = "SELECT count(*) FROM {table} WHERE tenant_id = :tenant_id AND user_id = :user_id"


class PgvectorTable:
    """Points in one table, searched exactly, one user's rows at a time.

    Args:
        engine: Shared with the caller, who closes it; its timeouts bound every call.
        large: Memories from which on an owner has a graph.
    """

    def __init__(self, engine: Engine, name: str, size: int, large: int = LARGE) -> None:
        self._engine = engine
        self._autocommitting = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._name = name
        self._table = self._quote(name)
        self._size = size
        self._graphs = Graphs(engine, self._table, size, large)

    def prepare(self) -> None:
        """Create the table unless it is there."""
        self.create()

    def apply(self, upserts: Sequence[IndexPoint], removals: Collection[Removal]) -> None:
        # One order for all writers: two that touch the same rows wait instead of deadlocking.
        rows = [to_row(point) for point in sorted(upserts, key=write_order)]
        gone = [
            {"memory_id": removal.memory_id, "version": removal.version}
            for removal in sorted(removals, key=attrgetter("memory_id"))
        ]
        with self._transaction() as connection:
            if rows:
                connection.execute(self._sql(UPSERT), rows)
            if gone:
                connection.execute(self._sql(REMOVE), gone)

    def remove_owner(self, owner: Owner) -> None:
        with self._transaction() as connection:
            self._graphs.forget(connection, owner)
            connection.execute(self._sql(REMOVE_OWNER), _owner_values(owner))

    def scan(self, after: MemoryId | None, limit: int) -> list[IndexedPoint]:
        statement = self._sql(_SCAN_FIRST if after is None else _SCAN_BEHIND)
        with self._transaction() as connection:
            rows = connection.execute(statement, {"after": after, "limit": limit}).mappings().all()
        return [read_scanned(row["memory_id"], {**row}) for row in rows]

    def is_empty(self) -> bool:
        with self._transaction() as connection:
            return bool(connection.scalar(self._sql(_IS_EMPTY)))

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
        terms = own_terms(owner, query_vector(text).indices)
        values = {
            **_owner_values(owner),
            "session_id": session_id,
            "as_of": None if as_of is None else as_of.timestamp(),
            "vector": BinaryVector(vector),
            "limit": limit,
        }
        graph = self._find_graph(owner)
        template, asked = _ask(terms, graph)
        with self._reading() as connection:
            rows = connection.execute(self._sql(template), values | asked).all()
        cosines = {_id_of(row.memory_id): float(row.cosine) for row in rows}
        lexical = {_id_of(row.memory_id): float(row.score) for row in rows if row.score is not None}
        return merge_hits(cosines, lexical)

    def neighbours(
        self, owner: Owner, vectors: Sequence[Vector], limit: int, *, min_cosine: float = ANYWHERE
    ) -> list[list[MemoryId]]:
        found: list[list[MemoryId]] = []
        graph = self._find_graph(owner)
        with self._reading() as connection:
            for start in range(0, len(vectors), _ASKED_AT_ONCE):
                part = vectors[start : start + _ASKED_AT_ONCE]
                values = {**_owner_values(owner), "limit": limit, "farthest": 1 - min_cosine}
                statement = self._sql(make_neighbours(len(part), graph and graph.number))
                found += _nearest(connection, statement, values, part)
        return found

    def tend(self) -> int:
        """Make the graphs that are missing; gives how many."""
        with self._translated():
            return self._graphs.tend()

    def count(self, owner: Owner) -> int:
        with self._transaction() as connection:
            return int(connection.scalar(self._sql(_COUNT), _owner_values(owner)) or 0)

    def close(self) -> None:
        """Close the connections of its engine."""
        self._engine.dispose()

    def create(self) -> bool:
        """Whether the table was missing; it is there now."""
        with self._transaction() as connection:
            connection.execute(text(_LOCK))
            is_missing = self._name not in list(connection.scalars(text(_TABLES)))
            if is_missing:
                connection.execute(self._sql(CREATE))
                log.info("collection_created", collection=self._name)
        return is_missing

    def _find_graph(self, owner: Owner) -> Graph | None:
        with self._translated():
            return self._graphs.find(owner)

    def _sql(self, template: str) -> TextClause:
        return _statement(template, self._table, self._size)

    def _quote(self, name: str) -> str:
        return self._engine.dialect.identifier_preparer.quote(name)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """For a single statement: without the round trips that begin and end a transaction."""
        with self._translated(), self._autocommitting.connect() as connection:
            yield connection

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (OperationalError, InterfaceError, PoolTimeout) as error:
            raise IndexUnavailable(f"pgvector: {type(error).__name__}") from error
        except DBAPIError as error:
            if error.connection_invalidated or isinstance(error.orig, UndefinedTable):
                raise IndexUnavailable(f"pgvector: {type(error.orig).__name__}") from error
            if isinstance(error, DataError):
                # Not chained: the driver's message quotes the values.
                raise IndexRefused(f"pgvector: {type(error.orig).__name__}") from None
            raise


class PgvectorIndex(PgvectorTable):
    """One table per embedding model, exact search over one user's rows.

    Args:
        engine: Shared with the caller, who closes it; its timeouts bound every call.
    """

    def __init__(
        self, engine: Engine, prefix: str, model: str, size: int, large: int = LARGE
    ) -> None:
        super().__init__(engine, collection_name(prefix, model, size), size, large)

    def prepare(self) -> None:
        """Create extension and table, or check them; safe when several processes start.

        Raises:
            EmbeddingMismatch: The table was filled by another embedding model.
            ConfigurationError: PostgreSQL has no pgvector and may not get it.
        """
        self._prepare_extension()
        with self._transaction() as connection:
            connection.execute(text(_LOCK))
            tables = list(connection.scalars(text(_TABLES)))
            check_sole_model(self._name, [name for name in tables if name.count(".") == 1])
            if self._name not in tables or self._drop_old_layout(connection):
                connection.execute(self._sql(CREATE))
                log.info("collection_created", collection=self._name)
            self._check_size(connection)

    def successor(self, token: str) -> PgvectorTable:
        return PgvectorTable(self._engine, self._successor_name(token), self._size)

    def make_successor(self, token: str) -> bool:
        return self.successor(token).create()

    def is_switched(self, token: str) -> bool:
        """Never: it has the live name then, and nothing tells it from the one before."""
        del token
        return False

    def switch(self, token: str) -> None:
        built = self._quote(self._successor_name(token))
        with self._transaction() as connection:
            connection.execute(text(_LOCK))
            connection.execute(text(_TAKE_PLACE.format(table=built, live=self._table)))
        log.info("index_switched", collection=self._name)

    def drop_leftovers(self, keep: str | None) -> int:
        family = self._successor_name("")
        kept = None if keep is None else self._successor_name(keep)
        with self._transaction() as connection:
            connection.execute(text(_LOCK))
            tables = connection.scalars(text(_TABLES)).all()
            left = [name for name in tables if name.startswith(family) and name != kept]
            for name in left:
                connection.execute(text(_DROP.format(table=self._quote(name))))
                log.info("collection_dropped", collection=name)
        return len(left)

    def _successor_name(self, token: str) -> str:
        # As many characters for every token: what another process left is known by its start.
        return successor_name(self._name[: MAX_NAME - 1 - TOKEN_LENGTH], token)

    def _prepare_extension(self) -> None:
        try:
            with self._transaction() as connection:
                connection.execute(text(_LOCK))
                if not connection.scalar(text(_HAS_EXTENSION)):
                    connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
        except DBAPIError as error:
            raise ConfigurationError(
                f"PostgreSQL has no pgvector here ({type(error.orig).__name__}): install it and "
                "let a superuser run CREATE EXTENSION vector in this database, or name a Qdrant "
                "server in MEMSTILL_INDEX_URL"
            ) from error

    def _drop_old_layout(self, connection: Connection) -> bool:
        """Whether the table was of an earlier layout; it is gone now."""
        values = {"table": self._table, "field": _LAYOUT_FIELD}
        if connection.scalar(text(_HAS_FIELD), values):
            return False
        connection.execute(self._sql(_DROP))
        log.warning("old_index_dropped", collection=self._name)
        return True

    def _check_size(self, connection: Connection) -> None:
        found = connection.scalar(text(_SIZE), {"table": self._table})
        if found != self._size:
            raise EmbeddingMismatch(
                f"the table {self._name!r} holds vectors of size {found}, the configured "
                f"embedding model makes {self._size}: set the embedding model back, or start "
                "on an empty index"
            )


@lru_cache(maxsize=512)
def _statement(template: str, table: str, size: int) -> TextClause:
    return text(template.format(table=table, size=size))


def _nearest(
    connection: Connection,
    statement: TextClause,
    values: Mapping[str, object],
    vectors: Sequence[Vector],
) -> list[list[MemoryId]]:
    asked = {f"vector_{n}": BinaryVector(vector) for n, vector in enumerate(vectors)}
    found: list[list[MemoryId]] = [[] for _ in vectors]
    for number, memory_id in connection.execute(statement, {**values, **asked}):
        found[number].append(_id_of(memory_id))
    return found


def _ask(terms: Sequence[int], graph: Graph | None) -> tuple[str, dict[str, object]]:
    """The statement by which these words are looked up, and its values of its own."""
    if graph is None:
        return make_search(len(terms)), {f"term_{n}": term for n, term in enumerate(terms)}
    arranged, lead = graph.words.arrange(terms)
    values: dict[str, object] = {"memories": graph.memories}
    for n, term in enumerate(arranged):
        values[f"term_{n}"] = term
        if n >= lead.words:
            values[f"holding_{n}"] = graph.words.holders[term]
    return make_search(len(terms), graph.number, lead), values


def _owner_values(owner: Owner) -> dict[str, str]:
    return {"tenant_id": owner.tenant_id, "user_id": owner.user_id}


def _id_of(value: uuid.UUID) -> MemoryId:
    return MemoryId(value)
