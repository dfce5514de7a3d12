"""Real servers for every test that asks for one: a missing server is a failure, not a skip."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg
import pytest
import redis
from hypothesis import settings
from psycopg import sql

from workers.embedded.postgres import PostgresServer
from workers.embedded.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator

_TEMPLATE = "migrated"

# Time is not what these tests are about, and a busy machine is slow. Those who want to try more for
# longer have verbs of their own.
settings.register_profile("memstill", deadline=None, max_examples=60)
settings.load_profile("memstill")


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for the whole run, not durable."""
    server = RedisServer(tmp_path_factory.mktemp("redis"), durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One PostgreSQL for the whole run, not durable."""
    server = PostgresServer(tmp_path_factory.mktemp("postgres"), durable=False)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def template_database(postgres_server: PostgresServer) -> str:
    """Name of a database at the present schema, to be copied and never written to."""
    from pipelines.adapters.postgres.migrate import migrate

    _execute(postgres_server, "CREATE DATABASE {}", _TEMPLATE)
    migrate(postgres_server.url_of(_TEMPLATE), contracts=True)
    return _TEMPLATE


@pytest.fixture
def database_url(postgres_server: PostgresServer, template_database: str) -> Iterator[str]:
    """An own, migrated, empty database."""
    with copied_database(postgres_server, template_database) as url:
        yield url


@contextmanager
def copied_database(server: PostgresServer, template: str) -> Iterator[str]:
    """A copy of a database for as long as the block takes."""
    name = f"test_{uuid.uuid4().hex}"
    _execute(server, "CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY", name, template)
    yield server.url_of(name)
    _execute(server, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """An empty Redis, for this test alone."""
    with redis.Redis.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server.url


@pytest.fixture
def key_prefix() -> str:
    """A prefix of keys that no other test uses."""
    return f"test-{uuid.uuid4().hex[:12]}"


def _execute(server: PostgresServer, statement: str, *names: str) -> None:
    with psycopg.connect(server.url_of("postgres"), autocommit=True) as connection:
        identifiers = [sql.Identifier(name) for name in names]
        connection.execute(sql.SQL(statement).format(*identifiers))
