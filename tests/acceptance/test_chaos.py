"""The short form of ``make chaos``: docs/chaos.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SESSIONS, FAULTS = 40, 9
FORM = (
    f"--seed 4 --sessions {SESSIONS} --users 6 --faults {FAULTS} --gap 1 --workers 2 --drain 90"
).split()


@pytest.mark.timeout(400)
def test_chaos_loses_nothing_and_keeps_nothing_twice_when_everything_is_killed(
    tmp_path: Path,
) -> None:
    """Killed, frozen and restarted processes and a bad endpoint: the same memories as in peace."""
    file = tmp_path / "report.json"

    ended = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *FORM, "--report", str(file)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
    )

    assert 0 == ended.returncode, ended.stdout + ended.stderr
    found = json.loads(file.read_text())
    assert [] == found["problems"]
    assert FAULTS == sum(found["hits"].values())
    assert SESSIONS == len(found["pushes"]["receipts"])
    assert SESSIONS == found["states"]["done"] + sum(found["dead"].values())
    assert 0 < found["difference"]["same"]
