"""What a worker process runs beside its tasks: the intake, and the API where it is asked for.

Qdrant Edge admits one process, so on one machine the process that owns the index answers recall
too; elsewhere the API is a process of its own.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import click
import structlog
from celery import bootsteps
from celery.signals import worker_shutdown

if TYPE_CHECKING:
    from collections.abc import Callable

    import uvicorn
    from celery import Celery

log = structlog.get_logger(__name__)

JOIN_SECONDS = 10.0


@worker_shutdown.connect
def _close_container(**_: object) -> None:
    # Sent after the pool has stopped: no task needs the container any more.
    from workers.container import close_container

    close_container()


class ContainerStep(bootsteps.StartStopStep):
    """Opens the container before any task runs; it is closed when the pool has ended."""

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: Any) -> bool:  # noqa: ANN401 - Celery has no types
        # A prefork parent must not hold connections that its children would inherit.
        return is_threaded(parent)

    def start(self, parent: Any) -> None:  # noqa: ANN401, ARG002
        from workers.container import current_container

        current_container()


class IntakeStep(bootsteps.StartStopStep):
    """Reads the intake Stream in a thread of a threaded worker."""

    requires = (ContainerStep,)

    def __init__(self, parent: Any, no_intake: bool = False, **_: object) -> None:  # noqa: ANN401
        self.enabled = not no_intake and is_threaded(parent)
        if not no_intake and not self.enabled:
            log.warning("intake_not_running", remedy="run one worker with -P threads beside it")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, parent: Any) -> None:  # noqa: ANN401, ARG002
        from workers.container import current_container
        from workers.intake import make_intake

        intake = make_intake(current_container())
        self._thread = start_thread("intake", lambda: intake.run(self._stop), self._stop)

    def stop(self, parent: Any) -> None:  # noqa: ANN401, ARG002
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_SECONDS)


class ApiStep(bootsteps.StartStopStep):
    """Serves the HTTP API in a thread, for ``--api``."""

    requires = (ContainerStep,)

    def __init__(self, parent: Any, api: bool = False, **_: object) -> None:  # noqa: ANN401
        self.enabled = api and is_threaded(parent)
        self._stop = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, parent: Any) -> None:  # noqa: ANN401, ARG002
        from workers.api import make_server
        from workers.container import current_container

        self._server = make_server(current_container())
        self._thread = start_thread("api", self._server.run, self._stop)

    def stop(self, parent: Any) -> None:  # noqa: ANN401, ARG002
        self._stop.set()
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(JOIN_SECONDS)


def start_thread(name: str, run: Callable[[], None], stop: threading.Event) -> threading.Thread:
    """Run in a thread; should it end unasked, the whole worker ends, to be started anew.

    A worker that looks alive but no longer reads the Stream would be worse.
    """

    def run_or_end_the_worker() -> None:
        try:
            run()
        finally:
            if not stop.is_set():
                os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=run_or_end_the_worker, name=name, daemon=True)
    thread.start()
    return thread


def is_threaded(worker: Any) -> bool:  # noqa: ANN401
    """Whether the worker's tasks run in threads of the worker process itself."""
    return "thread" in worker.pool_cls.__module__ or "solo" in worker.pool_cls.__module__


def install(app: Celery) -> None:
    """Add the steps and their command-line options to every worker of the application."""
    for step in (ContainerStep, IntakeStep, ApiStep):
        app.steps["worker"].add(step)
    app.user_options["worker"].update(
        {
            click.Option(["--api"], is_flag=True, help="Serve the HTTP API in this process."),
            click.Option(["--no-intake"], is_flag=True, help="Do not read the intake Stream."),
        }
    )
