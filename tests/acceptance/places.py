"""Where words of users can be: every row, every key, every file."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from tests.acceptance.deployment import Deployment


def rows(deployment: Deployment) -> Iterator[bytes]:
    """Every row of every table, as text."""
    tables = deployment.query(
        "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    for (table,) in tables:
        for (row,) in deployment.query(f"SELECT t::text FROM {table} t"):
            yield f"{table}: {row}".encode()


def redis_content(client: redis.Redis) -> Iterator[bytes]:
    """Every key of Redis with its value, whatever its type."""
    for key in client.scan_iter(count=1000):
        yield key
        kind = client.type(key)
        if kind == b"string":
            yield repr(client.get(key)).encode()
        elif kind == b"hash":
            yield repr(client.hgetall(key)).encode()
        elif kind == b"list":
            yield repr(client.lrange(key, 0, -1)).encode()
        elif kind == b"set":
            yield repr(client.smembers(key)).encode()
        elif kind == b"zset":
            yield repr(client.zrange(key, 0, -1)).encode()
        elif kind == b"stream":
            yield repr(client.xrange(key)).encode()
        else:
            assert b"none" == kind, "the key is gone since it was listed"


def files(folder: Path, pattern: str) -> Iterator[bytes]:
    """Every file whose name is like the pattern, whole."""
    for path in sorted(folder.rglob(pattern)):
        if path.is_file():
            yield path.read_bytes()
