"""Live, ready, degraded: what a process says of itself and of the servers that it needs.

Each server is looked at in a thread of its own, all the time; whoever asks gets what was found
last, at once, and a look that has not ended for a while is a server that does not answer.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

from pipelines.adapters.postgres import Backlog, PostgresPulse
from pipelines.errors import MemstillError
from workers.broker import make_probe
from workers.clock import SystemClock
from workers.readiness import DEGRADED, NOT_READY, READY

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from config.settings import Settings
    from workers.container import Container

LOOK_SECONDS = 2.0
# A look may take two seconds to connect and two to be answered.
STALE_SECONDS = LOOK_SECONDS + 5.0
PROBE_TIMEOUT_SECONDS = 2.0

POSTGRES, REDIS, RABBITMQ, INDEX = "postgresql", "redis", "rabbitmq", "index"
# Without these nothing can be taken in.
NEEDED = frozenset({POSTGRES})


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found at a look, by the monotonic clock; ``problem`` is None if all is well."""

    problem: str | None
    at: float


@dataclass(frozen=True, slots=True)
class Health:
    """What is answered.

    Attributes:
        problems: Of each server; None where it is well.
        ages: Seconds since each was looked at; None where that is not over yet.
    """

    status: str
    reason: str | None
    problems: Mapping[str, str | None]
    ages: Mapping[str, float | None]
    backlog: Backlog | None


class Watch:
    """One server, looked at again and again in a thread.

    Args:
        look: Raises what is wrong.
    """

    def __init__(self, name: str, look: Callable[[], None], stop: threading.Event) -> None:
        self.name = name
        self._look = look
        self._stop = stop
        self._found: Finding | None = None
        self._started = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"health-{name}", daemon=True)
        self._thread.start()

    @property
    def age(self) -> float | None:
        """Seconds since the last look that has ended."""
        return None if self._found is None else time.monotonic() - self._found.at

    @property
    def problem(self) -> str | None:
        """What is wrong, as far as is known."""
        since = self._started if self._found is None else self._found.at
        silence = time.monotonic() - since
        if silence > STALE_SECONDS:
            return f"has not answered for {silence:.0f} s"
        # Until the first look is over nothing speaks against it.
        return None if self._found is None else self._found.problem

    def join(self, seconds: float) -> None:
        """Wait for the end of the look that is under way; it may hang."""
        self._thread.join(seconds)

    def _run(self) -> None:
        while not self._stop.is_set():
            problem = None
            try:
                self._look()
            except (MemstillError, RedisError, OSError) as error:
                problem = str(error) or type(error).__name__
            self._found = Finding(problem, time.monotonic())
            self._stop.wait(LOOK_SECONDS)


@dataclass(slots=True)
class HealthWatch:
    """The health of one process, from before it can work until it ends."""

    settings: Settings
    _container: Container | None = None
    _waiting: str = "is starting"
    _watches: dict[str, Watch] = field(default_factory=dict)
    _stop: threading.Event = field(default_factory=threading.Event)
    _backlog: Backlog | None = None

    def start(self) -> None:
        """Begin to look."""
        policy = self.settings.policies().erase
        pulse = PostgresPulse(self.settings.database_url.get_secret_value(), policy.warn)

        def look_at_postgres() -> None:
            self._backlog = pulse.read(SystemClock().now())

        self._watch(POSTGRES, look_at_postgres)
        # Running sessions are in Redis, whoever the broker is.
        self._watch(REDIS, make_probe(self.settings.model_copy(update={"broker_url": None})))
        if self.settings.broker_url is not None:
            self._watch(RABBITMQ, make_probe(self.settings))
        self._watch_index()

    def stop(self) -> None:
        """End looking; a look that hangs is left to the end of the process."""
        self._stop.set()
        for watch in self._watches.values():
            watch.join(PROBE_TIMEOUT_SECONDS)

    def note_waiting(self, reason: str) -> None:
        """It cannot work yet, and why."""
        self._waiting = reason

    def note_open(self, container: Container) -> None:
        """It can work from now on."""
        self._container = container
        if self._watches:
            self._watch_index()

    def read(self) -> Health:
        """What is known; asks nobody and waits for nothing."""
        problems = {name: watch.problem for name, watch in self._watches.items()}
        ages = {name: watch.age for name, watch in self._watches.items()}
        for breaker in self._container.breakers.all() if self._container else ():
            is_away = breaker.circuit.is_open
            problem = f"is away; tried again in {breaker.wait_seconds():.0f} s" if is_away else None
            problems[breaker.name] = problems.get(breaker.name) or problem
            ages.setdefault(breaker.name, None)
        status, reason = judge_health(problems, None if self._container else self._waiting)
        return Health(status, reason, problems, ages, self._backlog)

    def _watch(self, name: str, look: Callable[[], None]) -> None:
        # Another thread may be reading the present ones.
        self._watches = {**self._watches, name: Watch(name, look, self._stop)}

    def _watch_index(self) -> None:
        container = self._container
        if container is None:
            return
        index = container.index

        def look_at_index() -> None:
            index.is_empty()

        self._watch(INDEX, look_at_index)


def judge_health(problems: Mapping[str, str | None], waiting: str | None) -> tuple[str, str | None]:
    """Whether a process can work, and what is in its way.

    Args:
        problems: Of each server.
        waiting: What it waits for at its start; None once it works.
    """
    told = [f"{name}: {problem}" for name, problem in problems.items() if problem]
    if waiting is not None:
        return NOT_READY, "; ".join([waiting, *told])
    if any(problems.get(name) for name in NEEDED):
        return NOT_READY, "; ".join(told)
    return (DEGRADED, "; ".join(told)) if told else (READY, None)


def health_view(health: Health) -> dict[str, Any]:
    """The answer of ``/readyz``."""
    backlog = health.backlog
    return {
        "status": health.status,
        "reason": health.reason,
        "dependencies": {
            name: {
                "ok": problem is None,
                "problem": problem,
                "age_seconds": None if (age := health.ages.get(name)) is None else round(age, 1),
            }
            for name, problem in health.problems.items()
        },
        "backlog": None
        if backlog is None
        else {
            "oldest_due_seconds": round(backlog.oldest_due_seconds, 1),
            "dead_letters": backlog.dead,
            "overdue_erasures": backlog.overdue_erasures,
        },
    }


def status_code(health: Health) -> int:
    """Degraded, it goes on taking in: it stays where requests are sent to."""
    return 503 if health.status == NOT_READY else 200
