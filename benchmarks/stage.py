"""The real flows on a PostgreSQL and a Redis of their own, driven by hand."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
from psycopg import sql

from config.settings import Settings
from pipelines.adapters.postgres.migrate import migrate
from workers.app import make_app
from workers.container import open_container
from workers.embedded.postgres import PostgresServer
from workers.embedded.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pipelines.model import Owner, Transcript
    from workers.container import Container


class Stage:
    """Both servers, not durable; each database on it is a memstill of its own."""

    def __init__(self, postgres: PostgresServer, redis: RedisServer) -> None:
        self._postgres = postgres
        self._redis = redis

    def make_database(self, name: str, like: str | None = None) -> None:
        """An empty one, or one that holds all that another one holds; nobody may be using it."""
        template = sql.SQL("TEMPLATE {}").format(sql.Identifier(like)) if like else sql.SQL("")
        with psycopg.connect(self._postgres.url_of("postgres"), autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} {}").format(sql.Identifier(name), template)
            )
        if like is None:
            migrate(self._postgres.url_of(name))

    @contextmanager
    def open(self, database: str, model_base_url: str) -> Iterator[Container]:
        """The flows on one database, with the model at this address."""
        settings = Settings(
            database_url=self._postgres.url_of(database),
            redis_url=self._redis.url,
            key_prefix="stage",
            index_url="pgvector",
            distiller="model",
            model_base_url=model_base_url,
        )
        container = open_container(settings, make_app(settings))
        try:
            yield container
        finally:
            container.close()


@contextmanager
def open_stage() -> Iterator[Stage]:
    """Start both servers in a temporary directory, and stop them."""
    with tempfile.TemporaryDirectory(prefix="memstill-stage-") as folder, ExitStack() as undo:
        postgres = PostgresServer(Path(folder) / "postgres", durable=False)
        redis = RedisServer(Path(folder) / "redis", durable=False)
        for server in (postgres, redis):
            undo.callback(server.stop)
            server.start()
        yield Stage(postgres, redis)


def tell(container: Container, transcripts: Iterable[Transcript]) -> None:
    """Take the sessions all the way, each before the next one arrives."""
    for transcript in transcripts:
        container.ingest.run([transcript])
        container.distill.run(transcript.id)
        settle(container, transcript.owner)


def settle(container: Container, owner: Owner) -> None:
    """Consolidate what waits for a user, and bring it into the index."""
    container.consolidate.run(owner)
    container.project.run()
