"""The API as a process of its own, for installations whose index admits several."""

from __future__ import annotations

import threading

from config.logs import configure_logs
from config.settings import Settings
from workers.api import create_api, make_listener
from workers.container import close_container, current_container
from workers.front import Front
from workers.health import HealthWatch
from workers.metrics.handing_out import handing_out
from workers.opening import open_patiently

JOIN_SECONDS = 15.0


class _Ended(Exception):
    """The server ends before it could work."""


def serve_api() -> None:
    """Serve until SIGINT or SIGTERM; a server that is away is waited for.

    Raises:
        ConfigurationError: The settings do not fit what is stored.
    """
    settings = Settings()
    configure_logs(settings.log_level, settings.log_format)
    front = Front(HealthWatch(settings))
    server = make_listener(settings, front)
    ended, failures = threading.Event(), list[BaseException]()

    def wait(seconds: float) -> None:
        if ended.wait(seconds):
            raise _Ended

    def let_in() -> None:
        try:
            container = open_patiently(current_container, wait, front.health.note_waiting)
            front.health.note_open(container)
            front.let_in(create_api(container, front.health))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that serves
            failures.append(error)
            server.should_exit = True

    opener = threading.Thread(target=let_in, name="opener", daemon=True)
    opener.start()
    try:
        with handing_out(settings, with_stored=True):
            server.run()
    finally:
        ended.set()
        opener.join(JOIN_SECONDS)
        close_container()
    for failure in failures:
        if not isinstance(failure, _Ended):
            raise failure
