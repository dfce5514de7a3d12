"""A task that is killed at every step, and goes on: no effect twice, none skipped."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import defaultdict
from itertools import pairwise
from pathlib import Path

import psycopg

from tests.acceptance.resuming import STEPS, list_kills
from tests.integration.serving import serve

REPOSITORY = Path(__file__).parents[2]


def test_task_killed_at_every_step_has_each_effect_once(
    database_url: str, redis_url: str, key_prefix: str
) -> None:
    """A process dies by SIGKILL in each; what was completed is never called again.

    With ``KILLS=every`` at each moment of each step.
    """
    how = os.environ.get("KILLS", "one")
    with psycopg.connect(database_url, autocommit=True) as database:
        database.execute("CREATE TABLE calls (run int, step text, key text)")
        database.execute("CREATE TABLE effects (key text PRIMARY KEY, step text)")
        with serve(database_url, redis_url, key_prefix, "off") as served:
            command = ["-m", "tests.acceptance.resuming", how, served.url, database_url, "t"]
            done = subprocess.run(
                [sys.executable, *command],
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                timeout=120,
                check=False,
            )
        calls = database.execute("SELECT run, step, key FROM calls").fetchall()
        effects = database.execute("SELECT step FROM effects").fetchall()

    names = [f"step-{number}" for number in range(STEPS)]
    assert (f"{[number * number for number in range(STEPS)]}\n", "") == (done.stdout, done.stderr)
    assert sorted(names) == sorted(name for (name,) in effects)
    runs, keys = defaultdict(list), defaultdict(set)
    for run, name, key in calls:
        runs[name].append(run)
        keys[name].add(key)
    assert [1] * STEPS == [len(keys[name]) for name in names]
    for name, following in pairwise(names):
        assert max(runs[name]) <= min(runs[following])
    for step, moment in list_kills(how):
        # What was cut off before its result was sent is called again, and only that.
        assert moment.endswith("effect") <= (len(runs[names[step]]) > 1)
