"""Everything that memstill needs, started, watched and stopped as one."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Self

import structlog

from pipelines.errors import ConfigurationError
from workers.embedded.children import ChildService
from workers.embedded.endpoints import (
    Endpoints,
    default_data_dir,
    remove_endpoints,
    write_endpoints,
)
from workers.embedded.lock import DirectoryLock
from workers.embedded.postgres import PostgresServer
from workers.embedded.redis import RedisServer
from workers.embedded.supervisor import RestartPolicy, Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType, TracebackType

    from workers.embedded.children import Child
    from workers.embedded.service import Service

_log = structlog.get_logger(__name__)
_CHECK_SECONDS = 0.1
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - recognised, not bound: nobody can call that address


class StopRequested(Exception):
    """Somebody asked the stack to stop while it was waiting for something else."""


def silent(_line: str) -> None:
    """Nobody watches the progress."""


class Stack:
    """Redis, PostgreSQL and the children, on one data directory.

    Use ``run_until_stopped`` in the main thread of a process of its own, or the stack as a
    context manager, where a thread of it looks after the children until the block ends. Either
    way no child outlives the process, even one that is killed.

    Args:
        data_dir: Where everything is kept; created if missing.
        migrate: Brings the database of the given URL to the present schema; its errors pass.
        children: Started in this order once the schema stands; stopped in the reverse one.
        env: Given to every child beside the addresses; may replace any of them.
        progress: Told, in a line each, what came up, died or was stopped.
    """

    def __init__(
        self,
        data_dir: Path | None = None,
        *,
        migrate: Callable[[str], object],
        children: Sequence[Child] = (),
        env: Mapping[str, str] | None = None,
        api_host: str = "127.0.0.1",
        api_port: int = 8377,
        progress: Callable[[str], None] = silent,
        restarts: RestartPolicy | None = None,
    ) -> None:
        self.data_dir = (data_dir or default_data_dir()).expanduser().absolute()
        self._migrate = migrate
        self._api = (api_host, api_port)
        self._progress = progress
        self._restarts = restarts or RestartPolicy()
        self._lock = DirectoryLock(self.data_dir)
        self._signals = 0
        self._is_stopping = False
        self._watch: threading.Thread | None = None
        logs = self.data_dir / "logs"
        self._redis = RedisServer(self.data_dir / "redis", log=logs / "redis.log")
        self._postgres = PostgresServer(self.data_dir / "postgres", log=logs / "postgres.log")
        shared = {**self._addresses(), **(env or {})}
        self._children = [
            ChildService(child, self.data_dir / "children", logs / f"{child.name}.log", shared)
            for child in children
        ]
        self._services: list[Service] = [self._redis, self._postgres, *self._children]

    @property
    def endpoints(self) -> Endpoints:
        """Where it is reached once it has started."""
        host, port = self._api
        return Endpoints(
            pid=os.getpid(),
            api_url=f"http://{'127.0.0.1' if host == _EVERYWHERE else host}:{port}",
            redis_url=self._redis.url,
            database_url=self._postgres.url,
        )

    def pid_of(self, name: str) -> int | None:
        """Number of the child of that name: ``redis``, ``postgres`` or one that was given."""
        return {service.name: service.pid for service in self._services}[name]

    def run_until_stopped(self) -> int:
        """Start, look after everything until SIGINT or SIGTERM, stop; 0 after a clean stop.

        A second signal shortens the wait for children that are slow to end. Only the main
        thread may call this.

        Raises:
            ConfigurationError, DependencyUnavailable: It could not start; all is stopped again.
        """
        with self._counting_signals(), ExitStack() as undo:
            undo.callback(self.stop)
            with suppress(StopRequested):
                self.start()
                self._look_after()
        return 0

    def start(self) -> None:
        """Start everything and publish the endpoints; on failure all is stopped again.

        Raises:
            ConfigurationError: Another stack runs on the directory, the port is taken, or a
                server cannot be started as things are.
            DependencyUnavailable: Something did not come up.
        """
        self._lock.acquire()
        self._is_stopping = False
        with ExitStack() as undo:
            undo.callback(self.stop)
            self._clear_the_way()
            self._bring_up(self._redis, self._postgres)
            self._migrate(self._postgres.url)
            self._progress("the database schema is current")
            self._bring_up(*self._children)
            write_endpoints(self.data_dir, self.endpoints)
            undo.pop_all()
        _log.info("stack_started", children=[service.name for service in self._services])

    def stop(self) -> None:
        """Stop everything, the last started first; nothing happens unless it was started."""
        if not self._lock.is_held:
            return
        self._is_stopping = True
        if self._watch is not None:
            self._watch.join()
            self._watch = None
        with ExitStack() as last_first:
            last_first.callback(self._lock.release)
            for service in self._services:
                last_first.callback(self._put_down, service)
            remove_endpoints(self.data_dir)

    def __enter__(self) -> Self:
        self.start()
        self._watch = threading.Thread(target=self._look_after, name="stack", daemon=True)
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _addresses(self) -> dict[str, str]:
        host, port = self._api
        return {
            "MEMSTILL_REDIS_URL": self._redis.url,
            "MEMSTILL_DATABASE_URL": self._postgres.url,
            "MEMSTILL_INDEX_URL": f"edge:{self.data_dir / 'index'}",
            "MEMSTILL_API_HOST": host,
            "MEMSTILL_API_PORT": str(port),
        }

    def _clear_the_way(self) -> None:
        """Take away what a stack that was killed left, so that its port and files are free."""
        remove_endpoints(self.data_dir)
        for service in reversed(self._services):
            service.end_leftover()
        host, port = self._api
        try:
            family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as problem:
            raise ConfigurationError(
                f"cannot listen on {host}:{port} ({problem.strerror}): name another port with "
                "--port, or stop what uses this one"
            ) from problem

    def _bring_up(self, *services: Service) -> None:
        for service in services:
            service.start(self._on_wait)
            self._progress(f"{service.title} is up")

    def _put_down(self, service: Service) -> None:
        if service.is_running:
            service.stop(lambda: self._signals > 1)
            self._progress(f"{service.title} is down")
        else:
            service.stop()

    def _look_after(self) -> None:
        supervisor = Supervisor(self._services, self._restarts, self._progress, self._on_wait)
        with suppress(StopRequested):
            while True:
                self._on_wait()
                supervisor.check()
                time.sleep(_CHECK_SECONDS)

    def _on_wait(self) -> None:
        if self._is_stopping or self._signals:
            raise StopRequested

    @contextmanager
    def _counting_signals(self) -> Iterator[None]:
        """Signals are counted and looked at between two steps: no step is torn apart."""
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self._count_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self._signals = 0

    def _count_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1
