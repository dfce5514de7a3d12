"""Servers that go away and come back under processes that go on."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from typer.testing import CliRunner

from memstill_client import Memstill, Unavailable
from pipelines.adapters.postgres.migrate import migrate
from tests import endpoint as script
from tests.acceptance.deployment import Deployment, free_port, wait_until
from workers.cli import app
from workers.embedded.postgres import PostgresServer
from workers.embedded.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from memstill_client import Receipt
    from tests.endpoint import ScriptedEndpoint
    from workers.embedded.service import Service

OUTAGE_SECONDS = 2.0
# Redis may hang for fifteen before its driver gives up: nobody who pushes waits for that.
PUSH_SECONDS = 8.0
LINES_PER_SECOND = 20
RETRIED = b"start_waiting", b"intake_waiting", b"dependency_away", b"task_deferred", b"wakeup_lost"


@dataclass
class Site:
    """Servers of its own, and processes on them, one of each kind."""

    servers: dict[str, Service]
    deployment: Deployment
    endpoint: ScriptedEndpoint
    url: str
    http: httpx2.Client
    started_at: float = field(default_factory=time.monotonic)

    @contextmanager
    def killed(self, name: str) -> Iterator[None]:
        self.servers[name].kill()
        yield
        self.servers[name].start()

    @contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """With all of its processes."""
        group = os.getpgid(self.servers[name].pid or 0)
        os.killpg(group, signal.SIGSTOP)
        try:
            yield
        finally:
            os.killpg(group, signal.SIGCONT)

    @contextmanager
    def refusing(self) -> Iterator[None]:
        self.endpoint.fail_on("model", script.status(503))
        yield
        self.endpoint.heal()

    @contextmanager
    def silent(self) -> Iterator[None]:
        self.endpoint.fail_on("model", script.hang(30))
        yield
        self.endpoint.heal()
        self.endpoint.release()

    @contextmanager
    def frozen_under_questions(self, name: str) -> Iterator[None]:
        """More requests hang on it than the API has threads."""
        with ThreadPoolExecutor(60) as pool, self.frozen(name):
            for _ in range(60):
                pool.submit(self.hang_on)
            yield

    def hang_on(self) -> None:
        with suppress(httpx2.RequestError):
            self.http.get("/v1/dead", timeout=OUTAGE_SECONDS)

    def ask(self, path: str) -> httpx2.Response:
        return self.http.get(path)

    def status(self) -> str:
        return str(self.ask("/readyz").json()["status"])


class Watcher(threading.Thread):
    """Asks for health all the time, and remembers what was answered and how late."""

    def __init__(self, site: Site) -> None:
        super().__init__(daemon=True)
        self.seen: set[str] = set()
        self.slowest = 0.0
        self._site = site
        self._stop_asking = threading.Event()

    def run(self) -> None:
        while not self._stop_asking.wait(0.1):
            for path in ("/healthz", "/readyz"):
                started = time.monotonic()
                self.seen.add(self._site.ask(path).json()["status"])
                self.slowest = max(self.slowest, time.monotonic() - started)

    def end(self) -> None:
        self._stop_asking.set()
        self.join(20)


class Pusher(threading.Thread):
    """Pushes one session after the other until each is taken in."""

    def __init__(self, name: str, client: Memstill) -> None:
        super().__init__(daemon=True)
        self.receipts: list[Receipt] = []
        self.slowest = 0.0
        self._name = name
        self._client = client
        self._stop_pushing = threading.Event()

    def run(self) -> None:
        while not self._stop_pushing.wait(0.15):
            self._push(len(self.receipts))

    def _push(self, number: int) -> None:
        fields: dict[str, Any] = {
            "user_id": f"{self._name}-{number % 5}",
            "session_id": f"{self._name}-{number}",
            "messages": [{"role": "user", "content": f"I have {number} cats."}],
        }
        while not self._stop_pushing.is_set():
            started = time.monotonic()
            try:
                self.receipts.append(self._client.enqueue(**fields))
            except Unavailable:
                continue
            self.slowest = max(self.slowest, time.monotonic() - started)
            return

    def end(self) -> None:
        self._stop_pushing.set()
        self.join(60)
        self._client.close()


@pytest.fixture
def site(tmp_path: Path, key_prefix: str, endpoint: ScriptedEndpoint) -> Iterator[Site]:
    redis, postgres = RedisServer(tmp_path / "redis"), PostgresServer(tmp_path / "postgres")
    postgres.start()
    migrate(postgres.url)
    postgres.stop()
    port = free_port()
    env = {
        # A claim whose answer was lost with its server is taken up again when its lease is over.
        "MEMSTILL_DISTILL_LEASE_SECONDS": "8",
        "MEMSTILL_DATABASE_URL": postgres.url,
        "MEMSTILL_REDIS_URL": redis.url,
        "MEMSTILL_KEY_PREFIX": key_prefix,
        "MEMSTILL_API_PORT": str(port),
        "MEMSTILL_INDEX_URL": "pgvector",
        "MEMSTILL_SCHEDULE": '{"sweep": 0.5}',
        "MEMSTILL_RETRY_BASE_SECONDS": "0.2",
        "MEMSTILL_PROBE_SECONDS": "0.2",
        "MEMSTILL_CONSOLIDATE_LEASE_SECONDS": "3",
        "MEMSTILL_DISTILLER": "model",
        "MEMSTILL_MODEL_BASE_URL": endpoint.base_url,
        "MEMSTILL_MODEL_API_KEY": "k",
        "MEMSTILL_MODEL_TIMEOUT_SECONDS": "1.5",
        "MEMSTILL_EMBEDDER": "remote",
        "MEMSTILL_EMBED_SIZE": "64",
    }
    servers: dict[str, Service] = {"redis": redis, "postgresql": postgres}
    url = f"http://127.0.0.1:{port}"
    # Sixty clients that each load the system's certificates would be what is slow here.
    with httpx2.Client(base_url=url, timeout=10) as http:
        made = Site(servers, Deployment(env, tmp_path), endpoint, url, http)
        yield made
    made.deployment.close()
    redis.stop()
    postgres.stop()


def answers(site: Site, status: str) -> bool:
    try:
        return site.status() == status
    except httpx2.RequestError:
        return False


def test_everything_is_done_when_servers_went_away_and_came_back(site: Site) -> None:
    """Each killed and frozen under load: no process dies, none is busy with failing, nothing is lost."""  # noqa: E501 - one sentence
    deployment = site.deployment
    processes = [deployment.start_api(), deployment.start_worker(), deployment.start_beat()]
    wait_until(lambda: answers(site, "not_ready"), "the API answers without its servers")
    early = site.ask("/readyz")
    assert (503, 200) == (early.status_code, site.ask("/healthz").status_code)
    assert "postgresql" in early.json()["reason"]
    refused = site.http.post("/v1/transcripts", content=b"{}")
    assert (503, "2") == (refused.status_code, refused.headers["Retry-After"])
    wait_until(lambda: b"start_waiting" in deployment.log_of(processes[1]), "the worker waits")
    for server in site.servers.values():
        server.start()
    wait_until(lambda: answers(site, "ready"), "the API works")

    over_http = Memstill(api_url=site.url, redis_url="", timeout=30)
    over_stream = deployment.client()
    pushers = [Pusher("http", over_http), Pusher("stream", over_stream)]
    watcher = Watcher(site)
    threads: list[Pusher | Watcher] = [*pushers, watcher]
    for thread in threads:
        thread.start()
    taken_in_without_redis = 0
    for fault, away in (
        (site.killed("redis"), "redis"),
        (site.frozen("redis"), "redis"),
        (site.killed("postgresql"), "postgresql"),
        (site.frozen_under_questions("postgresql"), "postgresql"),
        (site.refusing(), "model"),
        (site.silent(), "model"),
    ):
        before = len(pushers[0].receipts)
        with fault:
            time.sleep(OUTAGE_SECONDS)
            taken_in_without_redis += (away == "redis") * (len(pushers[0].receipts) - before)
    for thread in threads:
        thread.end()

    receipts = [receipt for pusher in pushers for receipt in pusher.receipts]
    ended = deployment.wait_final(*receipts)
    assert {"done"} == {status.state.value for status in ended}
    wait_until(lambda: answers(site, "ready"), "all is well again")
    assert [None] * 3 == [process.poll() for process in processes]
    assert taken_in_without_redis > 0
    assert pushers[0].slowest < PUSH_SECONDS
    assert watcher.slowest < 2
    assert {"live", "ready", "degraded", "not_ready"} >= watcher.seen >= {"live", "ready"}
    seconds = time.monotonic() - site.started_at
    for process in processes:
        lines = deployment.log_of(process).splitlines()
        retried = [line for line in lines if any(name in line for name in RETRIED)]
        assert LINES_PER_SECOND * seconds > len(retried)
    assert 30 * seconds > len(site.endpoint.calls)
    shown = CliRunner().invoke(app, ["health", "--api", site.url, "--json"])
    assert (0, "ready") == (shown.exit_code, json.loads(shown.stdout)["status"])
