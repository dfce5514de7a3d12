"""A task of 25 steps that is killed and run again: ``python -m tests.acceptance.resuming``.

Each run is a process of its own, forked from one that has loaded all it needs. It stops at a
moment of a step, says so, and is killed there by its parent.

Arguments: ``one`` or ``every`` moment of each step; address of the API, of the database, name of
the thread.
"""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import psycopg

from memstill_client import Memstill, ResumableTask

if TYPE_CHECKING:
    from collections.abc import Callable

    from memstill_client import Step

STEPS: Final = 25
# The last: while its result is on its way, just when it happens to be.
MOMENTS: Final = ("before the effect", "after the effect", "saving", "after the save")
USER: Final = "alice"


@dataclass(frozen=True)
class Run:
    """One process's life: where it stops, and whom it tells."""

    number: int
    step: int
    moment: str
    tell: Callable[[bytes], object]

    def reach(self, step: int, moment: str) -> None:
        if (step, moment) != (self.step, self.moment):
            return
        self.tell(b"x")
        if moment != "saving":
            signal.pause()


def list_kills(how: str) -> list[tuple[int, str]]:
    """Step and moment of each: every moment of each step, or one after the other in turn."""
    return [
        (step, moment)
        for step in range(STEPS)
        for place, moment in enumerate(MOMENTS)
        if how == "every" or place == step % len(MOMENTS)
    ]


def take_steps(run: Run, api_url: str, database_url: str, thread: str) -> list[int]:
    """The task; its effects are rows that a key makes happen once."""
    with (
        Memstill(api_url=api_url, redis_url="", tenant_id="acme") as memstill,
        psycopg.connect(database_url, autocommit=True) as database,
    ):
        task = ResumableTask(memstill, USER, thread)

        def have_effect(number: int, step: Step) -> int:
            database.execute(
                "INSERT INTO calls VALUES (%s, %s, %s)", (run.number, step.name, step.key)
            )
            run.reach(number, "before the effect")
            database.execute(
                "INSERT INTO effects VALUES (%s, %s) ON CONFLICT DO NOTHING", (step.key, step.name)
            )
            run.reach(number, "after the effect")
            run.reach(number, "saving")
            return number * number

        results = []
        for number in range(STEPS):
            results.append(task.step(f"step-{number}", partial(have_effect, number)))
            run.reach(number, "after the save")
        return results


def be_killed(number: int, step: int, moment: str, arguments: list[str]) -> None:
    """Fork a run, wait until it is where it is to die, and kill it."""
    heard, said = os.pipe()
    child = os.fork()
    if child == 0:
        take_steps(Run(number, step, moment, lambda word: os.write(said, word)), *arguments)
        os._exit(3)
    os.close(said)
    told = os.read(heard, 1)
    os.kill(child, signal.SIGKILL)
    os.close(heard)
    _, status = os.waitpid(child, 0)
    if not told or not os.WIFSIGNALED(status):
        # A result that was quicker than the signal is no failure; a run that never came so far is.
        sys.exit(f"run {number} was not killed {moment} of step {step}: {status}")


def main() -> None:
    """Kill runs at each step; then let one live to the end."""
    how, *arguments = sys.argv[1:]
    plan = list_kills(how)
    for number, (step, moment) in enumerate(plan):
        be_killed(number, step, moment, arguments)
    last = Run(len(plan), -1, "", lambda _: None)
    sys.stdout.write(f"{take_steps(last, *arguments)}\n")


if __name__ == "__main__":
    main()
