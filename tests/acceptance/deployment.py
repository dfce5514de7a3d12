"""A deployment of its own for one test: real worker and beat processes on real servers."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memstill_client import Memstill
from pipelines.adapters.postgres import Database, PostgresInbox, PostgresMemoryStore
from pipelines.model import Owner, ReceiptId

if TYPE_CHECKING:
    from collections.abc import Callable

    from memstill_client import Receipt
    from pipelines.model import Memory
    from pipelines.ports import Status

REPOSITORY = Path(__file__).parents[2]
FINAL = frozenset({"done", "dead"})
DEADLINE_SECONDS = 90.0


def wait_until(is_met: Callable[[], bool], what: str, seconds: float = DEADLINE_SECONDS) -> None:
    """Poll a condition; a deadline that passes is a failure that says what was awaited."""
    deadline = time.monotonic() + seconds
    while not is_met():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(slots=True)
class Deployment:
    """Workers that share a pgvector index, as several processes must."""

    env: dict[str, str]
    logs: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _database: Database | None = None

    @property
    def database(self) -> Database:
        if self._database is None:
            self._database = Database(self.env["MEMSTILL_DATABASE_URL"], pool_size=4)
        return self._database

    def start_worker(self) -> subprocess.Popen[bytes]:
        pool = ("-P", "threads", "-c", "8", "--without-gossip", "--without-mingle")
        name = f"worker-{len(self.processes)}@%h"
        return self._start("worker", *pool, "-n", name)

    def start_prefork(self) -> subprocess.Popen[bytes]:
        """A worker whose children do the work; it reads no Stream."""
        pool = ("-P", "prefork", "-c", "2", "--without-gossip", "--without-mingle", "--no-intake")
        return self._start("worker", *pool, "-n", f"worker-{len(self.processes)}@%h")

    def start_beat(self) -> subprocess.Popen[bytes]:
        return self._start("beat", "--schedule", str(self.logs / "beat"), "--pidfile", "")

    def log_of(self, process: subprocess.Popen[bytes]) -> bytes:
        """All that a process wrote."""
        number = self.processes.index(process)
        (path,) = self.logs.glob(f"*-{number}.log")
        return path.read_bytes()

    def start_api(self) -> subprocess.Popen[bytes]:
        """The API as a process of its own."""
        return self.run("api", sys.executable, "-m", "workers.cli", "api")

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    def client(self) -> Memstill:
        """A client that pushes over the Stream."""
        return Memstill(
            api_url="http://127.0.0.1:9",
            redis_url=self.env["MEMSTILL_REDIS_URL"],
            key_prefix=self.env["MEMSTILL_KEY_PREFIX"],
        )

    def status(self, receipt: Receipt) -> Status | None:
        counted = PostgresInbox(self.database).states("default", [ReceiptId(receipt.id)])
        if "unknown" in counted:
            return None
        return PostgresInbox(self.database).status("default", ReceiptId(receipt.id))

    def wait_final(self, *receipts: Receipt) -> list[Status]:
        """Wait until each is done or a dead letter."""
        inbox = PostgresInbox(self.database)
        ids = [ReceiptId(receipt.id) for receipt in receipts]

        def all_final() -> bool:
            return set(inbox.states("default", ids)) <= FINAL

        wait_until(all_final, f"all of {ids} are final")
        return [inbox.status("default", key) for key in ids]

    def memories(self, user_id: str) -> list[Memory]:
        """All memories of a user, in any state."""
        store = PostgresMemoryStore(self.database)
        return store.export_memories("default", Owner("default", user_id).user_id, None, 1000)

    def query(self, statement: str) -> list[Any]:
        with self.database.transaction() as connection:
            return list(connection.exec_driver_sql(statement).all())

    def close(self) -> None:
        """End every process by its id."""
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill(process)
        if self._database is not None:
            self._database.close()

    def _start(self, role: str, *options: str) -> subprocess.Popen[bytes]:
        return self.run(role, sys.executable, "-m", "celery", "-A", "workers.app", role, *options)

    def run(self, role: str, *command: str) -> subprocess.Popen[bytes]:
        """Start any process; it is ended with the others."""
        log = (self.logs / f"{role}-{len(self.processes)}.log").open("wb")
        process = subprocess.Popen(
            command,
            env=os.environ | self.env,
            cwd=REPOSITORY,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        log.close()
        self.processes.append(process)
        return process
