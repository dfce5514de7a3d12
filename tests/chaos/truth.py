"""What PostgreSQL, Redis and the index hold, read with plain queries."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
import redis
from psycopg import sql
from psycopg.rows import dict_row

from memstill_client.wire import stream_key
from pipelines.adapters.collection import collection_name
from tests.chaos.endpoint import EMBEDDING_SIZE
from tests.chaos.stack import EMBEDDING_MODEL, KEY_PREFIX
from workers.intake import GROUP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.chaos.stack import Servers

Row = dict[str, Any]

_STATEMENT_SECONDS = 20
_TELL_SECONDS = 10.0
_COUNTED = {
    "transcripts not final": "transcripts WHERE state NOT IN ('done', 'dead')",
    "facts pending": "facts WHERE outcome = 'pending'",
    "users due": "owners WHERE due_at IS NOT NULL",
    "pairs waiting for a judge": "reviews",
    "outbox rows": "outbox",
    "holds": "holds",
}
_LEASED = """
SELECT table_name FROM information_schema.columns
WHERE table_schema = current_schema() AND column_name = 'lease_until'
"""


class Reader(Protocol):
    """Whoever answers a query."""

    def rows(self, query: str) -> list[Row]:
        """All rows of it."""


class Truth:
    """A reader's connections to the servers of a stack; context manager."""

    def __init__(self, servers: Servers) -> None:
        self._url = servers.postgres.url
        self._redis = redis.Redis.from_url(servers.redis.url, socket_timeout=_STATEMENT_SECONDS)
        self._connection: psycopg.Connection[Row] | None = None

    def close(self) -> None:
        """Close both."""
        self._redis.close()
        if self._connection is not None:
            self._connection.close()

    def rows(self, query: str) -> list[Row]:
        """All rows of a query."""
        return self._connect().execute(query.encode()).fetchall()

    def count_open(self) -> dict[str, int]:
        """What is still on its road, by name; nothing is left out because it is zero."""
        counts = {name: self._count(source) for name, source in _COUNTED.items()}
        tables = [row["table_name"] for row in self.rows(_LEASED)]
        counts["leases"] = sum(
            self._count(f"{name} WHERE lease_until IS NOT NULL") for name in tables
        )
        return counts | self._count_stream()

    def index_rows(self) -> list[Row]:
        """The points of the index."""
        name = collection_name(KEY_PREFIX, EMBEDDING_MODEL, EMBEDDING_SIZE)
        query = sql.SQL("SELECT memory_id, tenant_id, user_id, scope, version, state FROM {}")
        return self._connect().execute(query.format(sql.Identifier(name))).fetchall()

    def _count(self, source: str) -> int:
        return int(self.rows(f"SELECT count(*) AS number FROM {source}")[0]["number"])

    def _count_stream(self) -> dict[str, int]:
        key = stream_key(KEY_PREFIX)
        groups = self._redis.xinfo_groups(key) if self._redis.exists(key) else []
        pending = sum(int(group["pending"]) for group in groups if group["name"] == GROUP.encode())
        return {
            "Stream entries": self._redis.xlen(key),
            "Stream entries pending": pending,
        }

    def _connect(self) -> psycopg.Connection[Row]:
        if self._connection is None or self._connection.closed:
            timeout = f"-c statement_timeout={_STATEMENT_SECONDS}s"
            self._connection = psycopg.connect(
                self._url, autocommit=True, row_factory=dict_row, options=timeout, connect_timeout=5
            )
        return self._connection


@contextmanager
def open_truth(servers: Servers) -> Iterator[Truth]:
    """Connections that are closed again."""
    truth = Truth(servers)
    try:
        yield truth
    finally:
        truth.close()


def wait_drained(
    truth: Truth, is_busy: Callable[[], bool], seconds: float, tell: Callable[[str], None]
) -> dict[str, int]:
    """Wait until nothing is on its road any more, and tell now and then what is.

    Returns:
        What is left when the time is over; all zero if it went well.
    """
    deadline = told_at = time.monotonic()
    deadline += seconds
    while True:
        left = truth.count_open() | ({"pushes": 1} if is_busy() else {})
        if not any(left.values()) or time.monotonic() > deadline:
            return left
        if time.monotonic() > told_at + _TELL_SECONDS:
            told_at = time.monotonic()
            tell(
                "left: " + ", ".join(f"{number} {name}" for name, number in left.items() if number)
            )
        time.sleep(0.2)
