"""Shells of tasks: how long one wake-up goes on."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from celery.worker import state

from pipelines.flows.turns import Turn
from pipelines.model import Lane, Owner
from pipelines.outcome import Done
from pipelines.testing.surroundings import RecordingWaker
from workers import tasks
from workers.waker import KeepingWaker

if TYPE_CHECKING:
    from collections.abc import Iterator

ALICE = Owner("acme", "alice")
MOST = tasks.IN_A_ROW[Lane.INTERACTIVE]


class Container:
    """Distills as long as somebody stands in line, and consolidates whoever it was."""

    def __init__(self, in_line: int) -> None:
        self.heard = RecordingWaker()
        self.waker = KeepingWaker(self.heard, lambda: True)
        self.in_line = in_line
        self.lanes: list[Lane] = []
        self.consolidated: list[Owner] = []
        self.distill = self
        self.consolidate = SimpleNamespace(run=self._consolidate)
        tracer = SimpleNamespace(turn=lambda _: nullcontext(lambda _: None))
        self.ground = SimpleNamespace(tracer=tracer)

    def run_next(self, lane: Lane) -> Turn:
        self.lanes.append(lane)
        self.in_line -= 1
        self.waker.wake_consolidate([ALICE])
        return Turn(Done(), is_more=self.in_line > 0)

    def _consolidate(self, owner: Owner) -> Done:
        self.consolidated.append(owner)
        return Done()


@contextmanager
def woken(queue: str) -> Iterator[Any]:
    """The task as a worker has it when a message came out of a queue."""
    task: Any = tasks.distill
    task.push_request(delivery_info={"routing_key": queue})
    try:
        yield task
    finally:
        task.pop_request()


@pytest.mark.parametrize(
    ("in_line", "done", "left"),
    [(1, 1, 0), (5, 5, 0), (MOST, MOST, 0), (100, MOST, 1)],
)
def test_a_wake_up_serves_some_in_a_row_and_leaves_the_rest_to_another(
    monkeypatch: pytest.MonkeyPatch, in_line: int, done: int, left: int
) -> None:
    """Each is consolidated before the next one, and no message is sent to itself for that."""
    container = Container(in_line)
    monkeypatch.setattr(tasks, "current_container", lambda: container)

    with woken("distill") as task:
        task.run(str(uuid4()))

    assert [Lane.INTERACTIVE] * done == container.lanes
    assert [ALICE] * done == container.consolidated
    assert left == len(container.heard.receipts)
    assert [] == container.heard.owners


def test_backfill_makes_room_after_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """It wakes backfill again, whose queue is asked last."""
    container = Container(100)
    monkeypatch.setattr(tasks, "current_container", lambda: container)

    with woken("backfill") as task:
        task.run(str(uuid4()))

    assert [Lane.BACKFILL] == container.lanes
    assert (0, 1) == (len(container.heard.receipts), len(container.heard.backfill))


def test_a_worker_that_is_told_to_end_takes_nobody_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has begun is brought to its end; the line is left to others."""
    container = Container(100)
    monkeypatch.setattr(tasks, "current_container", lambda: container)
    monkeypatch.setattr(state, "should_stop", 0)

    with woken("distill") as task:
        task.run(str(uuid4()))

    assert 1 == len(container.lanes)
    assert 1 == len(container.heard.receipts)
