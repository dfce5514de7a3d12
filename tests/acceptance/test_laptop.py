"""``memstill up`` and the commands beside it, as a person runs them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.acceptance.deployment import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "workers.cli")


def clean_env() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MEMSTILL_")}


@dataclass(slots=True)
class Laptop:
    """One data directory, and the commands on it."""

    data: Path
    port: int
    up: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.data.parent / "up.log").open("ab") as log:
            self.up = subprocess.Popen(
                [*COMMAND, "up", "--data", str(self.data), "--port", str(self.port)],
                env=clean_env(),
                cwd=REPOSITORY,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_until((self.data / "endpoints.json").exists, "memstill is up")

    def stop(self, number: signal.Signals) -> int:
        assert self.up is not None
        self.up.send_signal(number)
        return self.up.wait(60)

    def run(self, *words: str, data: bool = True) -> subprocess.CompletedProcess[str]:
        on = ["--data", str(self.data)] if data else []
        return subprocess.run(
            [*COMMAND, *words, *on],
            env=clean_env(),
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def recall(self, query: str) -> list[str]:
        found = self.run("recall", query, "--user", "alice", "--json")
        assert 0 == found.returncode, found.stderr
        return [memory["statement"] for memory in json.loads(found.stdout)["memories"]]


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Laptop]:
    made = Laptop(tmp_path / "data", free_port())
    yield made
    if made.up is not None and made.up.poll() is None:
        made.stop(signal.SIGTERM)


def session_file(folder: Path, name: str, *said: str, at: str) -> Path:
    file = folder / f"{name}.jsonl"
    body = {
        "schema_version": 1,
        "user_id": "alice",
        "session_id": name,
        "started_at": at,
        "messages": [{"role": "user", "name": "Alice", "content": text} for text in said],
    }
    with file.open("a") as target:
        target.write(json.dumps(body) + "\n")
    return file


def test_laptop_keeps_everything_over_a_restart(laptop: Laptop, tmp_path: Path) -> None:
    """Pushed, recalled, stopped by a signal, started again: all still there, nothing twice."""
    first = session_file(tmp_path, "s1", "I live in Berlin.", at="2026-03-02T09:00:00Z")
    laptop.start()

    pushed = laptop.run("enqueue", str(first), "--wait")
    receipt = pushed.stdout.split()[0]
    status = json.loads(laptop.run("status", receipt, "--json").stdout)
    wait_until(lambda: laptop.recall("where does Alice live?") != [], "the memory is recalled")
    second_up = laptop.run("up")
    assert 0 == laptop.stop(signal.SIGINT)
    stopped = laptop.run("recall", "Berlin", "--user", "alice")
    laptop.start()
    again = laptop.run("backfill", str(first))
    remembered = laptop.recall("where does Alice live?")

    assert ("done", {"inserted": 1}) == (status["state"], status["counts"])
    assert 1 == second_up.returncode
    assert "already running" in second_up.stderr
    assert 1 == stopped.returncode
    assert "memstill up" in stopped.stderr
    assert 0 == again.returncode
    assert "nothing changed" in again.stdout
    assert ["Alice lives in Berlin."] == remembered
    assert 0 == laptop.stop(signal.SIGTERM)


def test_laptop_worker_that_is_killed_comes_back(laptop: Laptop, tmp_path: Path) -> None:
    """SIGKILL of the worker, which owns the index: restarted, with the index whole."""
    laptop.start()
    file = session_file(tmp_path, "s1", "I live in Berlin.", at="2026-03-02T09:00:00Z")
    laptop.run("enqueue", str(file), "--wait")
    wait_until(lambda: laptop.recall("Berlin") != [], "the memory is recalled")

    worker = int(
        re.findall(
            r"^(\d+)$",
            subprocess.run(
                ["pgrep", "-P", str(laptop.up.pid if laptop.up else 0), "-f", "workers.app worker"],
                capture_output=True,
                text=True,
                check=True,
            ).stdout,
            re.MULTILINE,
        )[0]
    )
    os.kill(worker, signal.SIGKILL)

    wait_until(
        lambda: laptop.run("recall", "Berlin", "--user", "alice").returncode == 0,
        "the worker is back",
    )
    assert ["Alice lives in Berlin."] == laptop.recall("Berlin")


def test_laptop_refuses_bad_input_with_field_and_remedy(laptop: Laptop, tmp_path: Path) -> None:
    """Each wrong command says what is wrong and what to do; good lines are not lost."""
    laptop.start()
    good = session_file(tmp_path, "s1", "I live in Berlin.", at="2026-03-02T09:00:00Z")
    bad = session_file(tmp_path, "s2", "I live in Oslo.", at="2026-03-02T09:00:00")
    mixed = tmp_path / "mixed.jsonl"
    keyed = json.loads(good.read_text()) | {"idempotency_key": "k", "session_id": "s3"}
    clash = keyed | {"messages": [{"role": "user", "content": "I live in Rome."}]}
    mixed.write_text(
        good.read_text() * 2 + bad.read_text() + f"{json.dumps(keyed)}\n{json.dumps(clash)}\n"
    )

    refused = laptop.run("enqueue", str(bad))
    missing = laptop.run("backfill", str(tmp_path / "none.jsonl"))
    partly = laptop.run("backfill", str(mixed))
    unknown = laptop.run("status", "00000000-0000-0000-0000-000000000000")

    assert (1, True) == (refused.returncode, "started_at" in refused.stderr)
    assert (1, True) == (missing.returncode, "is no file" in missing.stderr)
    assert 1 == partly.returncode
    assert "line 3 refused: started_at" in partly.stdout
    assert "line 5 refused: idempotency_key" in partly.stdout
    assert "2 done" in partly.stdout
    assert (1, True) == (unknown.returncode, "no transcript" in unknown.stderr)


def test_demo_shows_the_whole_story() -> None:
    """Distilled, merged, superseded with dates, promoted, refused with reasons, recalled."""
    shown = subprocess.run(
        [*COMMAND, "demo"],
        env=clean_env() | {"COLUMNS": "160"},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )

    assert 0 == shown.returncode, shown.stderr
    text = shown.stdout
    assert re.search(r"reinforced +preference +Alice prefers short answers", text)
    assert re.search(r"superseded .*Berlin.*2026-03-02.*2026-04-06.*Lisbon", text)
    assert re.search(r"superseded .*500.*2026-03-02.*2026-04-06.*800", text)
    assert re.search(r"promoted ", text)
    assert re.search(r"refused: instruction", text)
    assert "1 aws-key" in text
    assert "<memstill-recall" in text
    block = text[text.index("<memstill-recall") :]
    assert "800 euros" in block
    assert "500 euros" not in block
    assert not re.search(r"AKIAIOSFODNN7EXAMPLE|correct-horse", block)
