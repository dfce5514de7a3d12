"""One rollout: the schema grows under load, and one process after the other is replaced."""

from __future__ import annotations

import signal
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING

import psycopg

from pipelines.adapters.postgres.migrate import Waits, migrate
from tests.chaos.checks import check_index, check_memories, check_open, check_receipts
from tests.chaos.payments import count_payments
from tests.chaos.pushing import Agents, Pushes
from tests.chaos.sessions import make_sessions, plan_errands
from tests.chaos.truth import open_truth, wait_drained
from tests.upgrade.revisions import GROWN, write_revisions
from tests.upgrade.stack import NEW, OLD, TwoReleases
from tests.upgrade.waiting import LockWatch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.plan import Plan
    from tests.chaos.truth import Truth

    Tell = Callable[[str], None]

_WAVES = 3
# uvicorn ends itself by the signal once it has answered everybody.
_ENDED_WELL = (0, -signal.SIGTERM)
_HELD_SECONDS = 3.0
_WAITS = Waits(lock=timedelta(seconds=1), patience=timedelta(minutes=2))
# What is seen of a wait is behind it by as much.
_MARGIN_SECONDS = 1.0


@dataclass(slots=True)
class Findings:
    """What a rollout found; it went well if there is no problem.

    Attributes:
        figures: By name, for people.
    """

    problems: list[str] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)


class Load:
    """The sessions in waves, so that each step has its share however slow the machine is."""

    def __init__(self, stack: TwoReleases, plan: Plan) -> None:
        self.sessions = make_sessions(plan)
        self.pushes = Pushes()
        self._stack = stack
        errands = plan_errands(plan, len(self.sessions))
        size = -(-len(errands) // _WAVES)
        self._left = [errands[at : at + size] for at in range(0, len(errands), size)]
        self._wave: Agents | None = None

    @property
    def users(self) -> list[str]:
        return sorted({session.user_id for session in self.sessions})

    def start_wave(self) -> None:
        """Begin to push the next share."""
        errands = self._left.pop(0)
        due = [replace(errand, at=errand.at - errands[0].at) for errand in errands]
        self._wave = Agents(self._stack, self.sessions, due)
        self._wave.start()

    def end_wave(self) -> None:
        """Wait until all of it is acknowledged."""
        assert self._wave is not None
        while self._wave.is_busy:
            time.sleep(0.05)
        found = self._wave.pushes
        twice = [n for n, key in found.receipts.items() if self.pushes.receipts.get(n, key) != key]
        self.pushes.problems += [*found.problems, *(f"session {n} has two" for n in twice)]
        self.pushes.receipts |= found.receipts
        self.pushes.acknowledged += found.acknowledged
        self.pushes.unavailable += found.unavailable
        self.pushes.seconds += found.seconds

    def close(self) -> None:
        """Give up what was not pushed yet."""
        if self._wave is not None:
            self._wave.close()


def roll_out(plan: Plan, old: Path, folder: Path, tell: Tell) -> Findings:
    """From a deployment of the old tree to one of both, under load all the while."""
    findings = Findings()
    with TwoReleases(folder, plan, old) as stack:
        _start_old(stack)
        tell("the old release is up")
        load = Load(stack, plan)
        try:
            _migrate(stack, load, folder, findings, tell)
            _replace(stack, load, tell)
            with open_truth(stack) as truth:
                left = wait_drained(truth, lambda: False, plan.drain_seconds, tell)
                findings.problems += check_open(left)
                _look(stack, truth, load, findings)
        finally:
            load.close()
    return findings


def _start_old(stack: TwoReleases) -> None:
    for number in range(2):
        stack.start_worker(OLD, number)
    stack.start_beat(OLD)
    stack.start_api(OLD)


def _migrate(stack: TwoReleases, load: Load, folder: Path, findings: Findings, tell: Tell) -> None:
    load.start_wave()
    with LockWatch(stack.postgres.url) as watch:
        seconds = stack.migrate(NEW)
        tell(f"migrated by the new release within {seconds:.1f} s")
        _grow(stack, folder, tell)
        load.end_wave()
    longest = watch.longest_seconds
    findings.figures["longest wait for a table"] = f"{longest:.2f} s"
    if longest > _WAITS.lock.total_seconds() + _MARGIN_SECONDS:
        findings.problems.append(f"somebody waited {longest:.2f} s for a table")


def _replace(stack: TwoReleases, load: Load, tell: Tell) -> None:
    """In the order of docs/upgrade.md, but one old worker stays to the end."""
    stack.start_worker(NEW, 0)
    stack.start_api(NEW)
    tell("a new worker and a new API beside the old ones")
    load.start_wave()
    stack.stop(f"{OLD}-worker-0")
    stack.stop(f"{OLD}-api")
    stack.stop(f"{OLD}-beat")
    stack.start_beat(NEW)
    load.end_wave()
    stack.start_worker(NEW, 1)
    tell("all but one old worker are replaced")
    load.start_wave()
    load.end_wave()
    tell("all is pushed")


def _grow(stack: TwoReleases, folder: Path, tell: Tell) -> None:
    """What a later release may add, while somebody uses the table that is altered."""
    more = write_revisions(folder / "revisions", *GROWN)
    growing = Thread(
        target=migrate,
        args=(stack.postgres.url,),
        kwargs={"more": more, "waits": _WAITS, "note": tell},
    )
    with psycopg.connect(stack.postgres.url) as user:
        user.execute("SELECT FROM transcripts LIMIT 1")
        growing.start()
        time.sleep(_HELD_SECONDS)
    growing.join()


def _look(stack: TwoReleases, truth: Truth, load: Load, findings: Findings) -> None:
    lost, dead = check_receipts(truth, load.pushes.receipts)
    payments = count_payments(stack.endpoint, truth, load.users, {})
    states = Counter(row["state"] for row in truth.rows("SELECT state FROM transcripts"))
    doubled = [*check_memories(truth), *check_index(truth, truth.index_rows())]
    findings.problems += [*lost, *doubled, *payments.problems]
    findings.problems += load.pushes.problems
    findings.problems += [f"dead: {reason}: {number}" for reason, number in dead.items()]
    failed = stack.count_in_logs("task_failed")
    findings.problems += [f"{name}: {number} tasks failed" for name, number in failed.items()]
    findings.problems += [
        f"{name} ended with {code}"
        for name, code in stack.exit_codes.items()
        if code not in _ENDED_WELL
    ]
    asked = Counter(item.caller.partition("-")[0] for item in stack.endpoint.answered)
    pushes = load.pushes
    findings.figures |= {
        "sessions": str(len(pushes.receipts)),
        "pushes acknowledged": _counted(pushes.acknowledged),
        "pushes repeated": str(sum(pushes.unavailable.values())),
        "slowest push": f"{max(pushes.seconds, default=0.0):.2f} s",
        "states": _counted(states),
        "lost": str(len(lost)),
        "doubled": str(len(doubled)),
        "model calls by": _counted(asked),
        "paid again": str(payments.raced + len(payments.overtaken)),
    }


def _counted(numbers: Counter[str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(numbers.items()))
