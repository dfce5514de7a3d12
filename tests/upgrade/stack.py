"""Servers that the processes of two releases share."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import httpx2
import redis

from memstill_client import Memstill, Unavailable
from memstill_client.wire import stream_key
from tests.chaos.endpoint import FAIR
from tests.chaos.stack import KEY_PREFIX, REPOSITORY, Servers
from workers.intake import GROUP
from workers.laptop import HOST, find_free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from memstill_client import Receipt, TranscriptV1
    from tests.chaos.plan import Plan

OLD, NEW = "old", "new"
_CELERY = ("celery", "-A", "workers.app")
_POOL = ("-P", "threads", "-c", "8", "--without-gossip", "--without-mingle")
_START_SECONDS = 90.0
_END_SECONDS = 60.0
_CLIENT_SECONDS = 5.0
_OK = 200


class NotReady(Exception):
    """A process did not come up."""


@dataclass(slots=True)
class Front:
    """What stands before several APIs: a push goes to one that is there."""

    apis: dict[str, Memstill]
    turns: itertools.count[int] = field(default_factory=itertools.count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """The clients are the stack's."""

    def enqueue(self, transcript: TranscriptV1, /) -> Receipt:
        apis = list(self.apis.values())
        first = next(self.turns) % len(apis)
        *others, last = apis[first:] + apis[:first]
        for client in others:
            try:
                return client.enqueue(transcript)
            except Unavailable:
                continue
        return last.enqueue(transcript)


class TwoReleases(Servers):
    """The servers, with workers, beat and API of an old and of the present tree.

    Attributes:
        exit_codes: Of the processes that were stopped.
    """

    def __init__(self, folder: Path, plan: Plan, old: Path) -> None:
        super().__init__(folder, plan, FAIR)
        self._trees = {OLD: old, NEW: REPOSITORY}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._front = Front({})
        self.exit_codes: dict[str, int] = {}

    def client(self, intake: str) -> Memstill | Front:
        """An agent's client, over one of the two intakes."""
        return self._stream_client() if intake == "stream" else self._front

    def migrate(self, release: str) -> float:
        """Run ``memstill migrate`` of a release; returns how many seconds it took."""
        began = time.monotonic()
        process = self._run(release, f"{release}-migrate", "workers.cli", "migrate")
        if process.wait(_START_SECONDS):
            raise NotReady(f"`memstill migrate` of the {release} tree ended with an error")
        return time.monotonic() - began

    def start_worker(self, release: str, number: int) -> None:
        """Return once it reads the Stream."""
        name = f"{release}-worker-{number}"
        process = self._start(release, name, *_CELERY, "worker", *_POOL, "-n", f"{name}@%h")
        self._wait(lambda: self._reads(process.pid), name)

    def start_beat(self, release: str) -> None:
        schedule = str(self.folder / f"beat-{release}")
        options = ("--schedule", schedule, "--pidfile", "")
        self._start(release, f"{release}-beat", *_CELERY, "beat", *options)

    def start_api(self, release: str) -> None:
        """Return once it is among those that pushes go to."""
        name, port = f"{release}-api", find_free_port()
        self._start(release, name, "workers.cli", "api", MEMSTILL_API_PORT=str(port))
        self._wait(lambda: _is_ready(port), name)
        client = Memstill(api_url=f"http://{HOST}:{port}", redis_url="", timeout=_CLIENT_SECONDS)
        self._front.apis = {**self._front.apis, name: client}

    def stop(self, name: str) -> None:
        """End a process as a deployment does, and wait until it has."""
        if name in self._front.apis:
            self._front.apis = {key: api for key, api in self._front.apis.items() if key != name}
        process = self._processes.pop(name)
        process.terminate()
        self.exit_codes[name] = process.wait(_END_SECONDS)

    def count_in_logs(self, said: str) -> dict[str, int]:
        """How often each process has written something."""
        logs = (self.folder / "logs").glob("*.log")
        counts = {log.stem: log.read_text(errors="replace").count(said) for log in logs}
        return {name: number for name, number in counts.items() if number}

    def _migrate(self) -> None:
        self.migrate(OLD)

    def _start_others(self, undo: ExitStack) -> None:
        undo.callback(self._end_all)

    def _end_all(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait()

    def _start(self, release: str, name: str, *words: str, **env: str) -> subprocess.Popen[bytes]:
        process = self._processes[name] = self._run(release, name, *words, **env)
        return process

    def _run(self, release: str, name: str, *words: str, **env: str) -> subprocess.Popen[bytes]:
        tree = self._trees[release]
        paths = (str(tree), str(tree / "clients" / "python"), os.environ.get("PYTHONPATH", ""))
        own = {
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            # So that the endpoint can tell who asks.
            "MEMSTILL_MODEL_API_KEY": name,
        }
        logs = self.folder / "logs"
        logs.mkdir(exist_ok=True)
        with (logs / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", *words],
                env={**os.environ, **self.env(), **own, **env},
                cwd=tree,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _wait(self, is_up: Callable[[], bool], name: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while not is_up():
            if time.monotonic() > deadline or self._processes[name].poll() is not None:
                raise NotReady(f"{name} did not come up")
            time.sleep(0.1)

    def _reads(self, pid: int) -> bool:
        with redis.Redis.from_url(self.redis.url) as client:
            try:
                found = client.xinfo_consumers(stream_key(KEY_PREFIX), GROUP)
            except redis.ResponseError:
                return False
        return any(f"-{pid}-" in consumer["name"].decode() for consumer in found)

    def _stream_client(self) -> Memstill:
        return Memstill(
            api_url="http://127.0.0.1:9",
            redis_url=self.redis.url,
            key_prefix=KEY_PREFIX,
            timeout=_CLIENT_SECONDS,
        )


def _is_ready(port: int) -> bool:
    """As a load balancer asks before it sends anything there."""
    try:
        return httpx2.get(f"http://{HOST}:{port}/readyz", timeout=2.0).status_code == _OK
    except httpx2.HTTPError:
        return False
