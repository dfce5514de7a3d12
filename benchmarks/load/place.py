"""Real servers, the endpoint and workers as processes, and what each takes of the processor."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.load.endpoint import HOST, SIZE
from memstill_client import Memstill
from pipelines.adapters.postgres import Database
from pipelines.adapters.postgres.migrate import migrate
from workers.embedded.postgres import PostgresServer
from workers.embedded.redis import RedisServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

DEADLINE_SECONDS = 120.0
PREFIX = "bench"
THREADS = 64
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a scenario is played.

    Attributes:
        env: What workers are told.
        postgres_id: Process id of the server.
        started: The processes; all end with the place.
    """

    env: dict[str, str]
    database: Database
    folder: Path
    postgres_id: int
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def start_workers(self, count: int, threads: int = THREADS, queues: str = "") -> list[int]:
        """So many worker processes; gives their ids when each of them is ready.

        They serve these ``queues``, with commas between their names, or all of them.
        """
        return self.start_celery("workers.app", count, threads, queues)

    def start_beat(self) -> int:
        """What wakes the jobs, and so whatever lies due; gives its id."""
        schedule = ("--schedule", str(self.folder / "beat"), "--pidfile", "")
        log = self.folder / f"beat-{len(self.started)}.log"
        return self.run("celery", "-A", "workers.app", "beat", *schedule, log=log)

    def start_celery(
        self, app: str, count: int, threads: int = THREADS, queues: str = ""
    ) -> list[int]:
        """Worker processes of an application of Celery."""
        options = ["-P", "threads", "-c", str(threads), "--without-gossip", "--without-mingle"]
        options += ["-Q", queues] if queues else []
        logs = [self.folder / f"worker-{len(self.started) + number}.log" for number in range(count)]
        ids = [
            self.run(
                "celery",
                "-A",
                app,
                "worker",
                "-l",
                "info",
                *options,
                "-n",
                f"{log.stem}@%h",
                log=log,
            )
            for log in logs
        ]
        wait_until(lambda: all(b"ready." in log.read_bytes() for log in logs), "workers are ready")
        return ids

    def run(self, module: str, *options: str, log: Path) -> int:
        """A Python module as a process; gives its id."""
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *options],
                env=os.environ | self.env,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.started.append(process)
        return process.pid

    def kill(self, process_id: int) -> None:
        """End it without a word, as a machine that is gone does."""
        (process,) = (it for it in self.started if it.pid == process_id)
        process.kill()
        process.wait()

    def stop(self, *ids: int) -> None:
        """End these in good order."""
        _end([process for process in self.started if process.pid in ids])

    def client(self) -> Memstill:
        """Pushes over the Stream."""
        return Memstill(
            api_url=f"http://{HOST}:9",
            redis_url=self.env["MEMSTILL_REDIS_URL"],
            key_prefix=PREFIX,
        )

    def count(self, query: str) -> int:
        """The number that a query gives."""
        with self.database.transaction() as connection:
            return int(connection.exec_driver_sql(query).scalar_one())

    def query(self, statement: str, *values: object) -> list[Any]:
        """The rows that a query gives."""
        with self.database.transaction() as connection:
            return list(connection.exec_driver_sql(statement, values or None))

    def tidy(self) -> None:
        """As it is a minute later by itself: plans that were made for empty tables go."""
        engine = self.database.engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")

    @contextmanager
    def environment(self) -> Iterator[None]:
        """This process sees what the workers are told."""
        before = {name: os.environ.get(name) for name in self.env}
        os.environ.update(self.env)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def calls_answered(self) -> int:
        """How many chat calls the endpoint has answered."""
        with urlopen(f"{self.env['MEMSTILL_MODEL_BASE_URL']}/answered", timeout=5) as answer:
            return int(json.load(answer)["answered"])

    def cpu_of_postgres(self) -> float:
        """Seconds of processor that PostgreSQL has taken, ended connections included."""
        return _cpu(self.postgres_id, with_ended=True) + sum(
            _cpu(child) for child in _children_of(self.postgres_id)
        )


@contextmanager
def open_place(latency: float) -> Iterator[Place]:
    """Durable servers of its own, a migrated database, and the endpoint; all end with it."""
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="memstill-bench-")))
        postgres = PostgresServer(folder / "postgres", durable=True)
        redis = RedisServer(folder / "redis", durable=True)
        for server in (postgres, redis):
            undo.callback(server.stop)
            server.start()
        migrate(postgres.url, contracts=True)
        database = Database(postgres.url, pool_size=2)
        undo.callback(database.close)
        port = free_port()
        env = _environment(postgres.url, redis.url, port)
        place = Place(env, database, folder, _server_id(folder / "postgres"))
        undo.callback(lambda: _end(place.started))
        options = ("--port", str(port), "--latency", str(latency))
        place.run("benchmarks.load.endpoint", *options, log=folder / "endpoint.log")
        wait_until(lambda: _answers(port), "the endpoint answers")
        yield place


def _environment(database_url: str, redis_url: str, port: int) -> dict[str, str]:
    base_url = f"http://{HOST}:{port}/v1"
    return {
        "MEMSTILL_DATABASE_URL": database_url,
        "MEMSTILL_REDIS_URL": redis_url,
        "MEMSTILL_KEY_PREFIX": PREFIX,
        "MEMSTILL_INDEX_URL": "pgvector",
        "MEMSTILL_DISTILLER": "model",
        "MEMSTILL_MODEL_BASE_URL": base_url,
        "MEMSTILL_MODEL_API_KEY": "bench",
        "MEMSTILL_EMBEDDER": "remote",
        "MEMSTILL_EMBED_SIZE": str(SIZE),
    }


def wait_until(
    is_met: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS, step: float = 0.1
) -> None:
    """Look again and again.

    Raises:
        TimeoutError: It is not so in time.
    """
    deadline = time.monotonic() + seconds
    while not is_met():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(step)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_of(ids: Iterable[int]) -> float:
    """Seconds of processor that processes have taken."""
    return sum(_cpu(process) for process in ids)


def megabytes_of(process: int) -> float:
    """What a process has in memory."""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise ProcessLookupError(process)


def _cpu(process: int, *, with_ended: bool = False) -> float:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0.0
    # utime and stime, then those of children that were waited for.
    return sum(int(value) for value in fields[11 : 15 if with_ended else 13]) / _TICKS


def _children_of(parent: int) -> Sequence[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == parent:
                found.append(int(entry.name))
    return found


def _server_id(directory: Path) -> int:
    return int((directory / "data" / "postmaster.pid").read_text().split("\n")[0])


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://{HOST}:{port}/v1/answered", timeout=5):
            return True
    except (URLError, OSError):
        return False


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
