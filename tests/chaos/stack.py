"""A deployment of its own: durable servers, and workers, beat and the API on them."""

from __future__ import annotations

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Self

import psycopg
import redis

from memstill_client import Memstill
from memstill_client.wire import stream_key
from pipelines.adapters.postgres.migrate import migrate
from tests.chaos.endpoint import EMBEDDING_SIZE, BadDayEndpoint
from tests.chaos.keeper import Keeper
from tests.chaos.plan import DELAYS
from workers.embedded.children import Child, ChildService, is_listening
from workers.embedded.postgres import PostgresServer
from workers.embedded.redis import RedisServer
from workers.intake import GROUP
from workers.laptop import HOST, find_free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.chaos.endpoint import Weather
    from tests.chaos.plan import Plan
    from workers.embedded.service import Service

REPOSITORY = Path(__file__).parents[2]
KEY_PREFIX = "chaos"
EMBEDDING_MODEL = "hash"
_CLIENT_SECONDS = 3.0
_MOST_ENDS = 5
_CELERY = (sys.executable, "-m", "celery", "-A", "workers.app")


class Servers:
    """Redis, PostgreSQL and the endpoint, as a context manager: nothing outlives the block."""

    def __init__(self, folder: Path, plan: Plan, weather: Weather) -> None:
        self.folder = folder
        self.redis = RedisServer(folder / "redis")
        self.postgres = PostgresServer(folder / "postgres")
        self.endpoint = BadDayEndpoint(weather, plan.dice("weather"))
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            undo.enter_context(self.endpoint)
            for service in (self.redis, self.postgres):
                undo.callback(service.stop)
                service.start()
            self._note_commit_times()
            self._migrate()
            self._start_others(undo)
            self._exit = undo.pop_all()
        return self

    def __exit__(self, *details: object) -> None:
        self._exit.close()

    def env(self) -> dict[str, str]:
        """The settings of whoever works on these servers."""
        return {
            "MEMSTILL_DATABASE_URL": self.postgres.url,
            "MEMSTILL_REDIS_URL": self.redis.url,
            "MEMSTILL_KEY_PREFIX": KEY_PREFIX,
            "MEMSTILL_INDEX_URL": "pgvector",
            "MEMSTILL_DISTILLER": "model",
            "MEMSTILL_MODEL_BASE_URL": self.endpoint.base_url,
            "MEMSTILL_MODEL_API_KEY": "chaos",
            "MEMSTILL_EMBEDDER": "remote",
            "MEMSTILL_EMBED_MODEL": EMBEDDING_MODEL,
            "MEMSTILL_EMBED_SIZE": str(EMBEDDING_SIZE),
            **DELAYS,
        }

    def _migrate(self) -> None:
        """Make the schema."""
        migrate(self.postgres.url)

    def _start_others(self, undo: ExitStack) -> None:
        """What works on the servers, ended by ``undo``: nothing here."""

    def _note_commit_times(self) -> None:
        """Let PostgreSQL keep the time of each commit: when a reply could first be found."""
        with psycopg.connect(self.postgres.url, autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET track_commit_timestamp = on")
        self.postgres.stop()
        self.postgres.start()


class Stack(Servers):
    """The servers with workers, beat and the API, each under a keeper."""

    def __init__(self, folder: Path, plan: Plan, weather: Weather) -> None:
        super().__init__(folder, plan, weather)
        self._plan = plan
        self._port = find_free_port()
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

    def wait_ready(self, seconds: float) -> bool:
        """Wait until the API listens and every worker reads the Stream; False if one does not."""
        deadline = time.monotonic() + seconds
        while not (is_listening(HOST, self._port) and self._count_readers() >= self._plan.workers):
            if time.monotonic() > deadline or self._has_given_up():
                return False
            time.sleep(0.1)
        return True

    def _has_given_up(self) -> bool:
        """Whether something keeps ending although nobody has hit it."""
        ends = (keeper for keeper in self.keepers.values() if not keeper.suffered)
        return any(sum(keeper.ended_alone.values()) > _MOST_ENDS for keeper in ends)

    def _count_readers(self) -> int:
        with redis.Redis.from_url(self.redis.url) as client:
            try:
                return len(client.xinfo_consumers(stream_key(KEY_PREFIX), GROUP))
            except redis.ResponseError:
                return 0

    def _start_others(self, undo: ExitStack) -> None:
        self._keep("redis", self.redis, undo)
        self._keep("postgres", self.postgres, undo)
        for name, argv in self._commands().items():
            self._keep(name, self._child(name, argv), undo)

    def _keep(self, name: str, service: Service, undo: ExitStack) -> None:
        keeper = self.keepers[name] = Keeper(service, name, self._plan.dice(f"keeper/{name}"))
        undo.callback(keeper.close)
        keeper.start()

    def _commands(self) -> Mapping[str, tuple[str, ...]]:
        pool = ("-P", "threads", "-c", str(self._plan.threads))
        quiet = ("--without-gossip", "--without-mingle")
        workers = {
            f"worker-{number}": (*_CELERY, "worker", *pool, *quiet, "-n", f"w{number}@%h")
            for number in range(self._plan.workers)
        }
        beat = (*_CELERY, "beat", "--schedule", str(self.folder / "beat"), "--pidfile", "")
        return {**workers, "beat": beat, "api": (sys.executable, "-m", "workers.cli", "api")}

    def _child(self, name: str, argv: tuple[str, ...]) -> ChildService:
        child = Child(name=name, argv=argv, ready=lambda: True)
        log = self.folder / "logs" / f"{name}.log"
        paths = (str(REPOSITORY), str(REPOSITORY / "clients" / "python"))
        known = os.environ.get("PYTHONPATH", "")
        own = {
            "PYTHONPATH": os.pathsep.join(filter(None, (*paths, known))),
            "MEMSTILL_API_PORT": str(self._port),
            # So that the endpoint can tell who asks.
            "MEMSTILL_MODEL_API_KEY": name,
        }
        return ChildService(child, self.folder / "children", log, self.env() | own)
