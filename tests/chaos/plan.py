"""What a campaign is told to do, and the delays that its processes run with."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

LEASE_SECONDS = 4.0
MODEL_TIMEOUT_SECONDS = 1.2

# Short enough that whatever waits for a lease or a delay waits seconds, not minutes.
DELAYS = {
    "MEMSTILL_MODEL_TIMEOUT_SECONDS": str(MODEL_TIMEOUT_SECONDS),
    "MEMSTILL_DISTILL_LEASE_SECONDS": str(LEASE_SECONDS),
    "MEMSTILL_CONSOLIDATE_LEASE_SECONDS": str(LEASE_SECONDS),
    "MEMSTILL_PROJECT_LEASE_SECONDS": str(LEASE_SECONDS),
    "MEMSTILL_CLAIM_IDLE_SECONDS": str(LEASE_SECONDS),
    "MEMSTILL_SCHEDULE": '{"sweep": 0.5}',
    "MEMSTILL_RETRY_BASE_SECONDS": "0.2",
    "MEMSTILL_JUDGE_WAIT_SECONDS": "1",
    "MEMSTILL_MAX_ATTEMPTS": "12",
    # Blows fall at random here: that three of them hit the same work is nobody's fault.
    "MEMSTILL_MAX_DEATHS": "12",
    "MEMSTILL_DATABASE_POOL": "6",
}


class Action(StrEnum):
    """What is done to a process."""

    KILL = "kill"
    FREEZE = "freeze"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Plan:
    """A campaign; the same plan schedules the same sessions, pushes and faults.

    Attributes:
        fault_gap_seconds: Mean time between two faults.
        drain_seconds: How long everything may take to become final once the faults have ended.
        dataset: Folder of a data set whose sessions go first; the rest is generated.
        has_reference: Whether the same sessions are told to a stack without faults as well.
        push_seconds: Over how long they are pushed; None is while there are faults.
    """

    seed: int
    sessions: int = 2_000
    users: int = 50
    faults: int = 200
    workers: int = 3
    threads: int = 8
    fault_gap_seconds: float = 4.0
    drain_seconds: float = 600.0
    dataset: Path | None = None
    has_reference: bool = True
    push_seconds: float | None = None

    @property
    def span_seconds(self) -> float:
        """Over how long the sessions are pushed: while faults happen, if it is not said."""
        if self.push_seconds is not None:
            return self.push_seconds
        return self.faults * self.fault_gap_seconds * 0.9

    def dice(self, purpose: str) -> random.Random:
        """A stream of chance of its own, so that no part of a campaign shifts another's."""
        return random.Random(f"{self.seed}/{purpose}")

    def figures(self) -> dict[str, object]:
        """The plan for a report."""
        return {name: _plain(value) for name, value in asdict(self).items()}


@dataclass(frozen=True, slots=True)
class Fault:
    """One blow.

    Attributes:
        at: Seconds from the start of the campaign.
        seconds: How long the target stays frozen, or down before it is started again.
    """

    at: float
    target: str
    action: Action
    seconds: float


WEIGHTS = {"worker": 45.0, "redis": 16.0, "postgres": 16.0, "api": 13.0, "beat": 10.0}
ACTIONS = {Action.KILL: 55.0, Action.FREEZE: 27.0, Action.RESTART: 18.0}
# What a blow costs beyond its own seconds, before the same target is hit again.
_BREATH_SECONDS = 2.5


def schedule_faults(plan: Plan, targets: list[str]) -> list[Fault]:
    """Faults in the order of their times; none hits a target that is still down from another.

    Args:
        plan: Seed, number and pace.
        targets: Names of processes: a word of ``WEIGHTS``, with a number where there are several.
    """
    dice, free_at = plan.dice("faults"), dict.fromkeys(targets, 0.0)
    weights = {name: _weight(name, targets) for name in targets}
    faults: list[Fault] = []
    at = 0.0
    while len(faults) < plan.faults:
        at += min(dice.expovariate(1 / plan.fault_gap_seconds), 2.5 * plan.fault_gap_seconds)
        ready = [name for name in targets if free_at[name] <= at]
        if not ready:
            continue
        target = dice.choices(ready, [weights[name] for name in ready])[0]
        action = dice.choices(list(ACTIONS), list(ACTIONS.values()))[0]
        fault = Fault(at, target, action, _seconds(dice, action))
        free_at[target] = at + fault.seconds + _BREATH_SECONDS
        faults.append(fault)
    return faults


def kind_of(target: str) -> str:
    """What a process is, without its number."""
    return target.partition("-")[0]


def _weight(target: str, targets: list[str]) -> float:
    alike = [name for name in targets if kind_of(name) == kind_of(target)]
    return WEIGHTS[kind_of(target)] / len(alike)


def _seconds(dice: random.Random, action: Action) -> float:
    if action is Action.FREEZE:
        return dice.uniform(1.1, 1.7) * LEASE_SECONDS
    return dice.uniform(0.05, 1.5)


def _plain(value: object) -> object:
    return value if isinstance(value, int | float | str | bool | None) else str(value)
