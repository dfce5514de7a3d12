"""The file that tells a worker that gets on from one that stands still."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from pipelines.errors import ConfigurationError
from workers.cli import app
from workers.heartbeat import PATIENCE_SECONDS, Heartbeat, age_seconds

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
