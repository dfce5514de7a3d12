"""The file that tells a worker that gets on from one that stands still."""

from __future__ import annotations

import json
import os
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from celery.worker import state
from typer.testing import CliRunner

from config.schedule import Job
from config.settings import Settings
from pipelines.errors import ConfigurationError
from workers.app import make_app
from workers.bootsteps import pool_check
from workers.cli import app
from workers.heartbeat import (
    BEAT_LOOP_SECONDS,
    INTAKE,
    PATIENCE_SECONDS,
    STUCK_SECONDS,
    Heartbeat,
    age_seconds,
)

if TYPE_CHECKING:
    from pathlib import Path


class Worker:
    """A worker whose loop turns when it is told to."""

    def __init__(self, path: Path) -> None:
        self.now = 0.0
        self.is_broker_there = True
        self.heartbeat = Heartbeat(path, lambda: self.is_broker_there, lambda: self.now)
        self.path = path

    def beats(self) -> bool:
        self.path.unlink(missing_ok=True)
        self.heartbeat.beat()
        return self.path.exists()


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    return Worker(tmp_path / "heartbeat")


def test_worker_beats_while_it_starts_and_while_its_loop_turns(worker: Worker) -> None:
    """However long its start takes: it may wait for a server."""
    worker.now = 10 * PATIENCE_SECONDS
    assert worker.beats()
    for _ in range(5):
        worker.heartbeat.note_turn()
        worker.now += PATIENCE_SECONDS / 2
        assert worker.beats()


def test_worker_stops_beating_when_its_loop_stands_still(worker: Worker) -> None:
    """Unless the broker is away: then it waits, and ending it would help nobody."""
    worker.heartbeat.note_turn()
    worker.now += PATIENCE_SECONDS

    assert not worker.beats()
    worker.is_broker_there = False
    assert worker.beats()
    worker.is_broker_there = True
    worker.heartbeat.note_turn()
    assert worker.beats()


@pytest.mark.parametrize(("age", "code"), [(0.0, 0), (2 * PATIENCE_SECONDS, 1), (None, 1)])
def test_command_tells_by_its_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: float | None, code: int
) -> None:
    """For the liveness probe of a pod."""
    path = tmp_path / "heartbeat"
    monkeypatch.setenv("MEMSTILL_HEARTBEAT_FILE", str(path))
    assert None is age_seconds(path)
    if age is not None:
        path.touch()
        os.utime(path, (time.time() - age,) * 2)

    assert code == CliRunner().invoke(app, ["health", "--worker"]).exit_code


def test_command_says_what_to_set_when_there_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the setting."""
    monkeypatch.delenv("MEMSTILL_HEARTBEAT_FILE", raising=False)

    done = CliRunner().invoke(app, ["health", "--worker"])

    assert isinstance(done.exception, ConfigurationError)
    assert "MEMSTILL_HEARTBEAT_FILE" in str(done.exception)


def test_worker_stops_beating_when_its_intake_stands_still(worker: Worker) -> None:
    """Though its messages go on: one loop does not speak for the other."""
    worker.heartbeat.note_turn(INTAKE)
    worker.now += PATIENCE_SECONDS
    worker.heartbeat.note_turn()
    assert not worker.beats()

    worker.heartbeat.note_turn(INTAKE)
    assert worker.beats()


def test_worker_stops_beating_when_every_slot_of_its_pool_is_held_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as one is free, or has begun lately, work goes on."""
    now = time.time()
    held = [SimpleNamespace(time_start=now - 2 * STUCK_SECONDS) for _ in range(2)]
    running = [*held, SimpleNamespace(time_start=None)]
    monkeypatch.setattr(state, "active_requests", running)
    is_stuck = pool_check(SimpleNamespace(concurrency=3))
    heartbeat = Heartbeat(tmp_path / "heartbeat", lambda: True, is_pool_stuck=is_stuck)
    heartbeat.note_turn()
    heartbeat.beat()
    assert heartbeat.path.exists()

    running[2] = SimpleNamespace(time_start=now)
    assert not is_stuck()
    running[2] = held[0]
    assert is_stuck()
    heartbeat.path.unlink()
    heartbeat.beat()
    assert not heartbeat.path.exists()


def test_beat_touches_the_file_whenever_it_has_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And looks often enough for whoever asks how old the file is."""
    path = tmp_path / "heartbeat"
    monkeypatch.setenv("MEMSTILL_HEARTBEAT_FILE", str(path))
    monkeypatch.setenv("MEMSTILL_SCHEDULE", json.dumps(dict.fromkeys(Job, 3600)))
    made = make_app(Settings())
    service = made.Beat().Service(
        made,
        max_interval=made.conf.beat_max_loop_interval,
        schedule_filename=str(tmp_path / "schedule"),
        scheduler_cls=made.conf.beat_scheduler,
    )

    seconds = service.scheduler.tick()
    service.scheduler.close()

    assert path.exists()
    assert seconds <= BEAT_LOOP_SECONDS < PATIENCE_SECONDS
