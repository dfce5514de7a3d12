"""Graphs of owners with many memories: near ones are found without comparing all of theirs.

One graph over everybody's rows would be walked for the few of one owner. So each owner with many
has one of his own rows alone: a partial index of pgvector's kind HNSW (Malkov and Yashunin,
"Efficient and robust approximate nearest neighbor search using Hierarchical Navigable Small World
graphs", 2018), under the owner's number, which stands in a query as it stands in the index.

Its comment in the catalogue holds the owner's common words, which go with it.
"""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from sqlalchemy import event, text

from pipelines.adapters.pgvector_format import owner_number
from pipelines.adapters.pgvector_words import (
    COUNT,
    NOT_COUNTED,
    CommonWords,
    least_holders,
    read_words,
    write_words,
)
from pipelines.model import Owner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine, Row

log = structlog.get_logger(__name__)

LARGE = 5_000
"""Memories from which on an owner has a graph: comparing as many takes about 5 ms."""
MAX_SIZE = 4_000
"""Numbers of a vector up to which pgvector makes graphs of half precision."""
# Each is looked at by every statement that is planned, and by every row that is written.
_MAX_GRAPHS = 64
_LOOK_SECONDS = 60.0
_SURVEY_SECONDS = 600.0
# Candidates that are kept in sight: more than a search asks for (docs/decisions/0039).
_SET_SEARCH = "SET hnsw.ef_search = 100; SET hnsw.iterative_scan = strict_order"
_FIND = """
SELECT graph.relname AS name, greatest(graph.reltuples, 0) AS memories, indisvalid AS is_whole,
       obj_description(indexrelid, 'pg_class') AS words
FROM pg_index JOIN pg_class AS graph ON graph.oid = indexrelid
WHERE indrelid = to_regclass(:table) AND starts_with(graph.relname, :prefix)
"""
_COUNT_LARGE = """
SELECT tenant_id, user_id, count(*) AS memories FROM {table}
GROUP BY tenant_id, user_id HAVING count(*) >= :least
"""
_BUILD = """
CREATE INDEX CONCURRENTLY {name} ON {table}
USING hnsw ((embedding::halfvec({size})) halfvec_cosine_ops) WITH (m = 10, ef_construction = 48)
WHERE owner_number = {number}
"""
_KEEP_WORDS = "COMMENT ON INDEX {name} IS '{words}'"
_FORGET_WORDS = "COMMENT ON INDEX {name} IS NULL"
_IS_THERE = "SELECT to_regclass(:name) IS NOT NULL"
_DROP = "DROP INDEX CONCURRENTLY IF EXISTS {name}"
# Waits for whatever was begun before, and takes as long as it takes. Several processes would share
# memory for it, of which a container has little.
_BE_PATIENT = (
    "SET statement_timeout = 0; SET lock_timeout = 0; SET max_parallel_maintenance_workers = 0"
)
# A graph that outgrows the memory for it is made ten times more slowly.
_SET_MEMORY = "SET maintenance_work_mem = '{kilobytes}kB'"
_MEMORY_KB = range(64 * 1024, 1024 * 1024)
_BYTES_OF_LINKS = 1_200
_TRY_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(:prefix, 12))"


@dataclass(frozen=True, slots=True)
class Graph:
    """Of one owner's rows.

    Attributes:
        number: The owner's.
        memories: How many there were when PostgreSQL last counted them.
        words: His common ones.
    """

    number: int
    memories: int
    words: CommonWords


class Graphs:
    """The graphs of a table.

    Args:
        engine: Whose connections search them.
        table: Its name, quoted.
        size: Numbers of a vector.
        large: Memories from which on an owner has one.
    """

    def __init__(self, engine: Engine, table: str, size: int, large: int = LARGE) -> None:
        self._engine = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._table = table
        self._size = size
        self._large = large
        self._prefix = f"graph_{hashlib.sha256(table.encode()).hexdigest()[:16]}_"
        self._known: dict[int, Graph] = {}
        self._look_at = self._survey_at = 0.0
        self._looking = threading.Lock()
        # Each table of a database has graphs, and the engine is the same.
        if not event.contains(engine, "connect", _prepare_search):
            event.listen(engine, "connect", _prepare_search)

    def find(self, owner: Owner) -> Graph | None:
        """The owner's, if there is one; whoever made it, it is seen within a minute."""
        if time.monotonic() >= self._look_at and self._looking.acquire(blocking=False):
            try:
                with self._engine.connect() as connection:
                    self._look(connection)
            finally:
                self._looking.release()
        return self._known.get(owner_number(owner)) if self._known else None

    def tend(self) -> int:
        """Make those that are missing, and drop those that are not worth it any more.

        Common words are counted where that is due. One process at a time; searches and writes go
        on. Gives how many were made.
        """
        if self._size > MAX_SIZE or time.monotonic() < self._survey_at:
            return 0
        self._survey_at = time.monotonic() + _SURVEY_SECONDS
        with self._alone() as connection:
            return 0 if connection is None else self._tend(connection)

    def forget(self, connection: Connection, owner: Owner) -> None:
        """Before an owner's memories go; the empty graph goes when the index is next tended.

        Before, because who drops the graph waits for whoever has written, and holds it.
        """
        name = self._name(owner_number(owner))
        if connection.scalar(text(_IS_THERE), {"name": name}):
            connection.execute(text(_FORGET_WORDS.format(name=name)))

    def _tend(self, connection: Connection) -> int:
        rows = connection.execute(
            text(_COUNT_LARGE.format(table=self._table)), {"least": self._large // 2}
        )
        owners = {owner_number(Owner(row.tenant_id, row.user_id)): row for row in rows}
        whole, damaged = self._list(connection)
        kept = {number: graph for number, graph in whole.items() if number in owners}
        for number in (whole.keys() | damaged) - kept.keys():
            connection.execute(text(_DROP.format(name=self._name(number))))
        missing = [
            number
            for number, row in owners.items()
            if number not in kept and row.memories >= self._large
        ]
        missing.sort(key=lambda number: owners[number].memories, reverse=True)
        made = missing[: max(_MAX_GRAPHS - len(kept), 0)]
        for number in made:
            self._make(connection, number, owners[number].memories)
        for number in [*kept, *made]:
            words = kept[number].words if number in kept else NOT_COUNTED
            if words.is_outdated(owners[number].memories, time.time()):
                self._count_words(connection, number, owners[number])
        self._look(connection)
        return len(made)

    def _make(self, connection: Connection, number: int, memories: int) -> None:
        began = time.monotonic()
        kilobytes = memory_for(memories, self._size)
        connection.execute(text(_SET_MEMORY.format(kilobytes=kilobytes)))
        connection.execute(text(self._build(number)))
        seconds = round(time.monotonic() - began, 1)
        log.info("graph_made", memories=memories, seconds=seconds)

    def _count_words(self, connection: Connection, number: int, counted: Row[Any]) -> None:
        name, least = self._name(number), least_holders(counted.memories, self._large)
        values = {"tenant_id": counted.tenant_id, "user_id": counted.user_id, "least": least}
        # Whoever erases the owner waits from the first comment on, or has done it before.
        connection.exec_driver_sql("BEGIN")
        connection.exec_driver_sql(_FORGET_WORDS.format(name=name))
        rows = connection.execute(text(COUNT.format(table=self._table)), values)
        holders = {row.term: row.holders for row in rows}
        words = CommonWords(int(time.time()), counted.memories, least, holders)
        connection.exec_driver_sql(_KEEP_WORDS.format(name=name, words=write_words(words)))
        connection.exec_driver_sql("COMMIT")
        log.info("words_counted", memories=words.memories, common=len(words.holders))

    def _build(self, number: int) -> str:
        name = self._name(number)
        # SQLAlchemy takes a colon for a parameter's.
        return _BUILD.format(name=name, table=self._table, size=self._size, number=number).replace(
            "::", r"\:\:"
        )

    def _look(self, connection: Connection) -> None:
        self._known, _ = self._list(connection)
        self._look_at = time.monotonic() + _LOOK_SECONDS

    def _list(self, connection: Connection) -> tuple[dict[int, Graph], set[int]]:
        """Those that can be searched, by number, and the numbers of those that were cut off."""
        values = {"table": self._table, "prefix": self._prefix}
        whole: dict[int, Graph] = {}
        damaged: set[int] = set()
        for row in connection.execute(text(_FIND), values):
            number = int(row.name.removeprefix(self._prefix))
            if row.is_whole:
                whole[number] = Graph(number, int(row.memories), read_words(row.words))
            else:
                damaged.add(number)
        return whole, damaged

    def _name(self, number: int) -> str:
        return f"{self._prefix}{number}"

    @contextmanager
    def _alone(self) -> Iterator[Connection | None]:
        """A connection that may take its time; None while another process has one."""
        with self._engine.connect() as connection:
            try:
                connection.exec_driver_sql(_BE_PATIENT)
                is_mine = connection.scalar(text(_TRY_LOCK), {"prefix": self._prefix})
                yield connection if is_mine else None
            finally:
                # What was set and locked goes with it, whatever happened.
                connection.invalidate()


def memory_for(memories: int, size: int) -> int:
    """Kilobytes in which the graph of so many vectors can be made, within reason."""
    wanted = memories * (2 * size + _BYTES_OF_LINKS) // 1024
    return min(max(wanted, _MEMORY_KB.start), _MEMORY_KB.stop)


def _prepare_search(connection: Any, _: object) -> None:  # noqa: ANN401 - of the driver
    before, connection.autocommit = connection.autocommit, True
    connection.execute(_SET_SEARCH)
    connection.autocommit = before
