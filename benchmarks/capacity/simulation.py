"""Queues of an installation, simulated event by event.

A session holds a thread of one worker process from beginning to end. In between it takes turns:
a little of the process's one core (Python runs one thread of a process at a time), a little of
PostgreSQL's cores, and once the time of the model, which is nobody's core. Each core serves whoever
waits longest.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.capacity.costs import Costs

# So many turns of worker and database has a session, before and behind its model call.
_TURNS_BEFORE, _TURNS_BEHIND = 3, 7


@dataclass(frozen=True, slots=True)
class Installation:
    """What there is of everything.

    Attributes:
        processes: Worker processes, a core each.
        threads: Of each process.
        postgres_cores: Of the one database.
        model_seconds: How long the model takes on average.
    """

    processes: int
    threads: int = 64
    postgres_cores: int = 4
    model_seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it.

    Attributes:
        rate: Sessions that were done, in a second.
        waits: Seconds from a push until what was said can be recalled, in ascending order.
        worker_load: Share of the time in which a core of the workers was busy.
        postgres_load: Likewise, of PostgreSQL.
        waiting: Sessions that had no thread yet at the end.
    """

    rate: float
    waits: list[float]
    worker_load: float
    postgres_load: float
    waiting: int

    def wait(self, part: float) -> float:
        """Seconds that so large a part of the sessions stayed below."""
        return self.waits[min(len(self.waits) - 1, int(part * len(self.waits)))]


@dataclass(slots=True)
class _Cores:
    """Cores of one kind with the line before them."""

    free: int
    waiting: deque[tuple[float, Callable[[], None]]] = field(default_factory=deque)
    busy_seconds: float = 0.0


class _Clock:
    """What happens next."""

    def __init__(self) -> None:
        self.now = 0.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()

    def after(self, seconds: float, then: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), then))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] <= until:
            self.now, _, then = heapq.heappop(self._events)
            then()
        self.now = until


class _Run:
    """One simulation."""

    def __init__(self, costs: Costs, installation: Installation, dice: Random) -> None:
        self.clock = _Clock()
        self.waits: list[float] = []
        self.line: deque[float] = deque()
        self._costs = costs
        self._installation = installation
        self._dice = dice
        self.workers = [_Cores(1) for _ in range(installation.processes)]
        self.postgres = _Cores(installation.postgres_cores)
        self._threads = [installation.threads] * installation.processes

    def push(self) -> None:
        """A session arrives; it begins with whichever process has most threads to spare."""
        self.line.append(self.clock.now)
        self._begin()

    def _begin(self) -> None:
        while self.line and max(self._threads) > 0:
            place = max(range(len(self._threads)), key=self._threads.__getitem__)
            self._threads[place] -= 1
            self._go_on(self._steps(place), self.line.popleft(), place)

    def _steps(self, place: int) -> Iterator[tuple[_Cores | None, float]]:
        """What a session does one after the other: of which cores, for how long."""
        turns = _TURNS_BEFORE + _TURNS_BEHIND
        for turn in range(turns):
            if turn == _TURNS_BEFORE and self._installation.model_seconds:
                yield None, self._vary(self._installation.model_seconds)
            yield self.workers[place], self._vary(self._costs.worker_seconds / turns)
            yield self.postgres, self._vary(self._costs.postgres_seconds / turns)

    def _vary(self, mean: float) -> float:
        # Long calls are rarer than short ones, and none takes no time.
        return mean * (0.5 + self._dice.expovariate(2.0))

    def _go_on(
        self, steps: Iterator[tuple[_Cores | None, float]], pushed_at: float, place: int
    ) -> None:
        step = next(steps, None)
        if step is None:
            self.waits.append(self.clock.now - pushed_at)
            self._threads[place] += 1
            self._begin()
            return
        cores, seconds = step
        if cores is None:
            self.clock.after(seconds, lambda: self._go_on(steps, pushed_at, place))
        else:
            self._serve(cores, seconds, lambda: self._go_on(steps, pushed_at, place))

    def _serve(self, cores: _Cores, seconds: float, then: Callable[[], None]) -> None:
        if not cores.free:
            cores.waiting.append((seconds, then))
            return
        cores.free -= 1
        cores.busy_seconds += seconds

        def end() -> None:
            cores.free += 1
            if cores.waiting:
                self._serve(cores, *cores.waiting.popleft())
            then()

        self.clock.after(seconds, end)


def simulate(
    costs: Costs, installation: Installation, rate: float, seconds: float, seed: int = 1
) -> Seen:
    """Sessions that arrive by chance, so many in a second (a Poisson process)."""
    dice = Random(seed)  # noqa: S311 - nothing of it is secret
    run = _Run(costs, installation, dice)

    def arrive() -> None:
        run.push()
        run.clock.after(dice.expovariate(rate), arrive)

    run.clock.after(dice.expovariate(rate), arrive)
    run.clock.run(seconds)
    return _look(run, installation, seconds)


def simulate_backlog(
    costs: Costs, installation: Installation, sessions: int, seed: int = 1
) -> float:
    """Sessions a second where so many are there at once."""
    run = _Run(costs, installation, Random(seed))  # noqa: S311
    for _ in range(sessions):
        run.push()
    while len(run.waits) < sessions:
        run.clock.run(run.clock.now + 1.0)
    return sessions / max(run.waits)


def _look(run: _Run, installation: Installation, seconds: float) -> Seen:
    busy = sum(cores.busy_seconds for cores in run.workers)
    return Seen(
        rate=len(run.waits) / seconds,
        waits=sorted(run.waits),
        worker_load=busy / seconds / installation.processes,
        postgres_load=run.postgres.busy_seconds / seconds / installation.postgres_cores,
        waiting=len(run.line),
    )
