"""Brings back what died, ever more slowly while it keeps dying."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog

from pipelines.errors import MemstillError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from workers.embedded.service import Service

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When something that died is started again.

    The n-th delay in a row is ``first_seconds * factor^(n-1)`` up to ``longest_seconds``.

    Attributes:
        healthy_seconds: What ran this long starts from the first delay again.
        ask_seconds: Whether it is alive is asked this often.
        max_silences: So many times in a row without a sign of life, it hangs: a machine that
            is busy, or that slept, gives one in between.
    """

    first_seconds: float = 0.5
    factor: float = 2.0
    longest_seconds: float = 30.0
    healthy_seconds: float = 60.0
    ask_seconds: float = 5.0
    max_silences: int = 6

    def delay_seconds(self, failures: int) -> float:
        """How long to wait after so many failures in a row, the present one counted."""
        steps = min(failures - 1, 64)
        return min(self.first_seconds * self.factor**steps, self.longest_seconds)


@dataclass(slots=True)
class _Standing:
    """How one service has fared; ``retry_at`` is set while it is down."""

    up_since: float
    failures: int = 0
    retry_at: float | None = None
    asked_at: float = 0.0
    silences: int = 0


class Supervisor:
    """Looks after services that were started once, in the order of their dependence.

    Args:
        on_wait: Called while a restarted service comes up; what it raises passes through.
    """

    def __init__(
        self,
        services: Sequence[Service],
        policy: RestartPolicy,
        progress: Callable[[str], None],
        on_wait: Callable[[], None],
    ) -> None:
        self._policy = policy
        self._progress = progress
        self._on_wait = on_wait
        now = time.monotonic()
        self._standings = [(service, _Standing(up_since=now)) for service in services]

    def check(self) -> None:
        """Note deaths, end what hangs, and start again what is due; returns when that is done."""
        for service, standing in self._standings:
            now = time.monotonic()
            if standing.retry_at is None and self._hangs(service, standing, now):
                service.kill()
            if standing.retry_at is None and not service.is_running:
                self._note_death(service, standing, now)
            elif standing.retry_at is not None and now >= standing.retry_at:
                self._restart(service, standing)

    def _hangs(self, service: Service, standing: _Standing, now: float) -> bool:
        if not service.is_running or now < standing.asked_at + self._policy.ask_seconds:
            return False
        standing.silences = 0 if service.is_alive() else standing.silences + 1
        # An answer may have taken long: the next question is not due at once.
        standing.asked_at = time.monotonic()
        if standing.silences < self._policy.max_silences:
            return False
        _log.warning("child_hangs", child=service.name, silences=standing.silences)
        self._progress(f"{service.title} hangs: ending it")
        return True

    def _note_death(self, service: Service, standing: _Standing, now: float) -> None:
        if now - standing.up_since >= self._policy.healthy_seconds:
            standing.failures = 0
        delay = self._postpone(standing)
        _log.warning(
            "child_died", child=service.name, exit_code=service.exit_code, delay_seconds=delay
        )
        self._progress(
            f"{service.title} died (status {service.exit_code}): starting it again in {delay:g} s"
        )
        service.stop()

    def _restart(self, service: Service, standing: _Standing) -> None:
        try:
            service.start(self._on_wait)
        except (MemstillError, OSError) as problem:
            delay = self._postpone(standing)
            _log.warning(
                "child_not_restarted",
                child=service.name,
                error=type(problem).__name__,
                delay_seconds=delay,
            )
            self._progress(f"{service.title} did not come back: trying again in {delay:g} s")
        else:
            standing.retry_at, standing.up_since = None, time.monotonic()
            standing.asked_at, standing.silences = standing.up_since, 0
            _log.info("child_restarted", child=service.name, restarts=standing.failures)
            self._progress(f"{service.title} is up again")

    def _postpone(self, standing: _Standing) -> float:
        standing.failures += 1
        delay = self._policy.delay_seconds(standing.failures)
        standing.retry_at = time.monotonic() + delay
        return delay
