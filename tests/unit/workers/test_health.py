"""What a process says of its health."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from pipelines.errors import StoreUnavailable
from workers import health
from workers.health import Watch, judge_health
from workers.opening import delay_seconds, open_patiently
from workers.readiness import DEGRADED, NOT_READY, READY

if TYPE_CHECKING:
    from collections.abc import Iterator

WELL = {"postgresql": None, "redis": None, "index": None}


@pytest.mark.parametrize(
    ("problems", "waiting", "status", "told"),
    [
        (WELL, None, READY, None),
        (WELL | {"redis": "is away"}, None, DEGRADED, "redis: is away"),
        (WELL | {"model m": "is away"}, None, DEGRADED, "model m: is away"),
        (WELL | {"postgresql": "is away"}, None, NOT_READY, "postgresql: is away"),
        (WELL, "is starting", NOT_READY, "is starting"),
        ({"redis": "is away"}, "waits for x", NOT_READY, "waits for x; redis: is away"),
    ],
    ids=["well", "no-redis", "no-model", "no-postgres", "starting", "waiting"],
)
def test_process_is_ready_when_it_can_take_something_in(
    problems: dict[str, str | None], waiting: str | None, status: str, told: str | None
) -> None:
    """Without Redis it still can; without PostgreSQL, or before it is open, it cannot."""
    assert (status, told) == judge_health(problems, waiting)


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    made = threading.Event()
    yield made
    made.set()


def test_server_that_never_answers_a_look_is_told_as_silent(
    stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen one may hold up the look; whoever asks is not held up."""
    monkeypatch.setattr(health, "STALE_SECONDS", 0.05)

    def hang() -> None:
        stop.wait(10)

    watch = Watch("frozen", hang, stop)

    while watch.problem is None:
        assert watch.age is None

    assert "has not answered for" in watch.problem
    stop.set()
    watch.join(5)


def test_server_is_looked_at_until_it_is_well(
    stop: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was wrong is told until then."""
    monkeypatch.setattr(health, "LOOK_SECONDS", 0.01)
    problems, looked = [StoreUnavailable("away"), StoreUnavailable("still away")], []
    gate = threading.Semaphore(0)

    def look() -> None:
        gate.acquire(timeout=10)
        looked.append(len(problems))
        if problems:
            raise problems.pop(0)

    watch = Watch("server", look, stop)
    for expected in ("away", "still away", None):
        gate.release()
        while watch.problem != expected or watch.age is None:
            pass
    assert 2 == looked[0]
    stop.set()
    gate.release()
    watch.join(5)


def test_start_waits_for_what_is_away_ever_more_patiently() -> None:
    """Told each time; any other error passes at once."""
    waited: list[float] = []
    told: list[str] = []
    failures = [StoreUnavailable(f"away {number}") for number in range(12)]

    def attempt() -> str:
        if failures:
            raise failures.pop(0)
        return "open"

    assert "open" == open_patiently(attempt, waited.append, told.append)
    assert [f"away {number}" for number in range(12)] == told
    assert 0.3 < waited[0] < 0.7 < max(waited) <= 12.5
    assert 60 < sum(waited)

    with pytest.raises(ZeroDivisionError):
        open_patiently(lambda: 1 // 0, waited.append)


def test_delay_of_the_start_is_bounded_however_often_it_failed() -> None:
    """Weeks of failures are no overflow."""
    assert all(delay_seconds(number) <= 12.5 for number in (1, 5, 100, 10**6))
