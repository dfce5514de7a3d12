"""What a worker process runs beside its tasks: the intake, and the API where it is asked for.

Qdrant Edge admits one process, so on one machine the process that owns the index answers recall
too; elsewhere the API is a process of its own.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import click
import structlog
from celery import bootsteps
from celery.signals import after_task_publish, beat_init, worker_shutdown
from celery.worker import state
from celery.worker.state import maybe_shutdown
from redis.exceptions import RedisError

from pipelines.errors import QueueUnavailable
from workers.broker import make_probe
from workers.heartbeat import BEAT_SECONDS, INTAKE, STUCK_SECONDS, Heartbeat
from workers.metrics.handing_out import handing_out, shared_with_children
from workers.pool import pool

if TYPE_CHECKING:
    from collections.abc import Callable

    import uvicorn
    from celery import Celery

    from config.settings import Settings

log = structlog.get_logger(__name__)

JOIN_SECONDS = 10.0


@worker_shutdown.connect
def _close_container(**_: object) -> None:
    # Sent after the pool has stopped: no task needs the container any more.
    from workers.container import close_container

    close_container()


# Open until the process ends.
_beat = ExitStack()


@beat_init.connect
def _hand_out_metrics(**_: object) -> None:
    # Beat is one in a deployment, so it also tells what only the servers know.
    from config.settings import Settings

    _beat.enter_context(handing_out(Settings(), with_stored=True))


@after_task_publish.connect
def _note_wake_up(sender: str, **_: object) -> None:
    from workers.metrics.catalogue import WAKE_UPS

    WAKE_UPS.labels(sender).inc()


class ContainerStep(bootsteps.StartStopStep):
    """Opens the container before any task runs; it is closed when the pool has ended.

    A server that is away is waited for.
    """

    requires = ("celery.worker.components:Pool", "workers.bootsteps:HeartbeatStep")

    def include_if(self, parent: Any) -> bool:  # noqa: ANN401 - Celery has no types
        # A prefork parent must not hold connections that its children would inherit.
        return is_threaded(parent)

    def start(self, parent: Any) -> None:  # noqa: ANN401
        from workers.container import current_container
        from workers.opening import open_patiently

        pool.open(parent.concurrency)
        open_patiently(current_container, wait_unless_stopped)


class HeartbeatStep(bootsteps.StartStopStep):
    """Touches ``MEMSTILL_HEARTBEAT_FILE`` while the worker gets on, also while it is starting."""

    def __init__(self, parent: Any, **_: object) -> None:  # noqa: ANN401
        from config.settings import Settings

        settings = Settings()
        self.enabled = settings.heartbeat_file is not None
        self._stop = threading.Event()
        if settings.heartbeat_file is not None:
            parent.memstill_heartbeat = Heartbeat(
                settings.heartbeat_file, broker_check(settings), is_pool_stuck=pool_check(parent)
            )

    def start(self, parent: Any) -> None:  # noqa: ANN401
        heartbeat: Heartbeat = parent.memstill_heartbeat

        def run() -> None:
            while True:
                heartbeat.beat()
                if self._stop.wait(BEAT_SECONDS):
                    return

        start_thread("heartbeat", run, self._stop)

    def stop(self, parent: Any) -> None:  # noqa: ANN401, ARG002
        self._stop.set()


class MetricsStep(bootsteps.StartStopStep):
    """Answers ``/metrics`` on ``MEMSTILL_METRICS_PORT``, also for children of a prefork pool."""

    def __init__(self, parent: Any, **_: object) -> None:  # noqa: ANN401
        from config.settings import Settings

        self._settings = Settings()
        self._open = ExitStack()
        self.enabled = self._settings.metrics_port is not None
        if self.enabled and not is_threaded(parent):
            # Before the pool forks, and before anything is recorded.
            self._open.enter_context(shared_with_children())

    def start(self, parent: Any) -> None:  # noqa: ANN401, ARG002
        self._open.enter_context(handing_out(self._settings, with_stored=False))

    def stop(self, parent: Any) -> None:  # noqa: ANN401, ARG002
        self._open.close()


class TurnStep(bootsteps.StartStopStep):
    """Notes each few seconds that the loop of messages turns: a timer of that very loop does."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Any) -> None:  # noqa: ANN401
        heartbeat = getattr(parent.controller, "memstill_heartbeat", None)
        if heartbeat is not None:
            heartbeat.note_turn()
            self._timer = parent.timer.call_repeatedly(BEAT_SECONDS, heartbeat.note_turn)

    def stop(self, parent: Any) -> None:  # noqa: ANN401, ARG002
        timer = getattr(self, "_timer", None)
        if timer is not None:
            timer.cancel()


class IntakeStep(bootsteps.StartStopStep):
    """Reads what agents push in a thread of a threaded worker."""

    requires = (ContainerStep,)

    def __init__(self, parent: Any, no_intake: bool = False, **_: object) -> None:  # noqa: ANN401
        self.enabled = not no_intake and is_threaded(parent)
        if not no_intake and not self.enabled:
            log.warning("intake_not_running", remedy="run one worker with -P threads beside it")
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, parent: Any) -> None:  # noqa: ANN401
        from workers.container import current_container
        from workers.intakes import open_intake

        heartbeat = getattr(parent, "memstill_heartbeat", None)
        note = (lambda: None) if heartbeat is None else partial(heartbeat.note_turn, INTAKE)
        intake = open_intake(current_container(), note)
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


def wait_unless_stopped(seconds: float) -> None:
    """Wait in the main thread of a worker; a signal that came meanwhile ends the worker."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        maybe_shutdown()
        time.sleep(min(left, 0.1))
    maybe_shutdown()


def broker_check(settings: Settings) -> Callable[[], bool]:
    """Whether the broker gives a sign of life."""
    look = make_probe(settings)

    def is_there() -> bool:
        try:
            look()
        except (RedisError, QueueUnavailable):
            return False
        return True

    return is_there


def pool_check(worker: Any) -> Callable[[], bool]:  # noqa: ANN401
    """Whether every slot of the pool is held by a task that will not end."""

    def is_stuck() -> bool:
        before = time.time() - STUCK_SECONDS
        try:
            started = [request.time_start for request in list(state.active_requests)]
        except RuntimeError:
            # The set changed while it was read: some task has just begun or ended.
            return False
        held = sum(at is not None and at < before for at in started)
        return bool(held >= worker.concurrency)

    return is_stuck


def is_threaded(worker: Any) -> bool:  # noqa: ANN401
    """Whether the worker's tasks run in threads of the worker process itself."""
    return "thread" in worker.pool_cls.__module__ or "solo" in worker.pool_cls.__module__


def install(app: Celery) -> None:
    """Add the steps and their command-line options to every worker of the application."""
    for step in (HeartbeatStep, MetricsStep, ContainerStep, IntakeStep, ApiStep):
        app.steps["worker"].add(step)
    app.steps["consumer"].add(TurnStep)
    app.user_options["worker"].update(
        {
            click.Option(["--api"], is_flag=True, help="Serve the HTTP API in this process."),
            click.Option(["--no-intake"], is_flag=True, help="Do not read the intake."),
        }
    )
