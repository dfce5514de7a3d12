"""A deployment of its own: durable servers, workers, beat and the API, each under a keeper."""

from __future__ import annotations

import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg

from memstill_client import Memstill
from pipelines.adapters.postgres.migrate import migrate
from tests.chaos.endpoint import EMBEDDING_SIZE, BadDayEndpoint
from tests.chaos.keeper import Keeper
from tests.chaos.plan import DELAYS
from workers.embedded.children import Child, ChildService
from workers.embedded.postgres import PostgresServer
from workers.embedded.redis import RedisServer
from workers.laptop import HOST, find_free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.endpoint import Weather
    from tests.chaos.plan import Plan

REPOSITORY = Path(__file__).parents[2]
KEY_PREFIX = "chaos"
EMBEDDING_MODEL = "hash"
_CLIENT_SECONDS = 3.0
_CELERY = (sys.executable, "-m", "celery", "-A", "workers.app")


class Stack:
    """Everything that a campaign hits, as a context manager: no process outlives the block."""

    def __init__(self, folder: Path, plan: Plan, weather: Weather) -> None:
        self.folder = folder
        self._plan = plan
        self._exit = ExitStack()
        self._port = find_free_port()
        self.redis = RedisServer(folder / "redis")
        self.postgres = PostgresServer(folder / "postgres")
        self.endpoint = BadDayEndpoint(weather, plan.dice("weather"))
        self.keepers: dict[str, Keeper] = {}

    @property
    def api_url(self) -> str:
        return f"http://{HOST}:{self._port}"

    def client(self, intake: str) -> Memstill:
        """An agent's client, over one of the two intakes."""
        url = self.redis.url if intake == "stream" else ""
        return Memstill(
            api_url=self.api_url, redis_url=url, key_prefix=KEY_PREFIX, timeout=_CLIENT_SECONDS
        )

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.enter_context(self.endpoint)
            for service in (self.redis, self.postgres):
                undo.callback(service.stop)
                service.start()
            self._note_commit_times()
            migrate(self.postgres.url)
            self._keep("redis", self.redis, undo)
            self._keep("postgres", self.postgres, undo)
            for name, argv in self._commands().items():
                self._keep(name, self._child(name, argv), undo)
            self._exit = undo.pop_all()
        return self

    def __exit__(self, *details: object) -> None:
        self._exit.close()

    def _note_commit_times(self) -> None:
        """Let PostgreSQL keep the time of each commit: when a reply could first be found."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        self.postgres.stop()
        self.postgres.start()

    def _keep(
        self, name: str, service: RedisServer | PostgresServer | ChildService, undo: ExitStack
    ) -> None:
        keeper = self.keepers[name] = Keeper(service, name, self._plan.dice(f"keeper/{name}"))
        undo.callback(keeper.close)
        keeper.start()

    def _commands(self) -> Mapping[str, tuple[str, ...]]:
        pool = ("-P", "threads", "-c", str(self._plan.threads), "--without-gossip")
        workers = {
            f"worker-{number}": (
                *_CELERY,
                "worker",
                *pool,
                "--without-mingle",
                "-n",
                f"w{number}@%h",
            )
            for number in range(self._plan.workers)
        }
        beat = (*_CELERY, "beat", "--schedule", str(self.folder / "beat"), "--pidfile", "")
        return {**workers, "beat": beat, "api": (sys.executable, "-m", "workers.cli", "api")}

    def _child(self, name: str, argv: tuple[str, ...]) -> ChildService:
        child = Child(name=name, argv=argv, ready=lambda: True)
        log = self.folder / "logs" / f"{name}.log"
        return ChildService(child, self.folder / "children", log, self._env())

    def _env(self) -> dict[str, str]:
        url = self.endpoint.base_url
        paths = (str(REPOSITORY), str(REPOSITORY / "clients" / "python"))
        known = os.environ.get("PYTHONPATH", "")
        return {
            "PYTHONPATH": os.pathsep.join(filter(None, (*paths, known))),
            "MEMSTILL_DATABASE_URL": self.postgres.url,
            "MEMSTILL_REDIS_URL": self.redis.url,
            "MEMSTILL_KEY_PREFIX": KEY_PREFIX,
            "MEMSTILL_INDEX_URL": "pgvector",
            "MEMSTILL_API_PORT": str(self._port),
            "MEMSTILL_DISTILLER": "model",
            "MEMSTILL_MODEL_BASE_URL": url,
            "MEMSTILL_MODEL_API_KEY": "chaos",
            "MEMSTILL_EMBEDDER": "remote",
            "MEMSTILL_EMBED_MODEL": EMBEDDING_MODEL,
            "MEMSTILL_EMBED_SIZE": str(EMBEDDING_SIZE),
            **DELAYS,
        }
