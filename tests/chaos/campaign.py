"""One campaign: sessions in, processes down, and the question what is left."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.chaos.checks import check_index, check_memories, check_open, check_receipts
from tests.chaos.endpoint import FAIR, Weather
from tests.chaos.keeper import wait_settled
from tests.chaos.outline import compare, read_outline
from tests.chaos.payments import count_payments
from tests.chaos.peace import tell_in_peace
from tests.chaos.plan import schedule_faults
from tests.chaos.pulse import Pulse
from tests.chaos.pushing import Agents
from tests.chaos.sessions import make_sessions, plan_errands
from tests.chaos.stack import Servers, Stack
from tests.chaos.truth import open_truth, wait_drained

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from memstill_client import TranscriptV1
    from tests.chaos.keeper import Keeper
    from tests.chaos.outline import Difference, Outline
    from tests.chaos.payments import Payments
    from tests.chaos.plan import Fault, Plan
    from tests.chaos.pulse import Weight
    from tests.chaos.pushing import Pushes
    from tests.chaos.truth import Truth

    Tell = Callable[[str], None]

_SETTLE_SECONDS = 90.0


@dataclass(slots=True)
class Findings:
    """What a campaign found; it passed if there is no problem.

    Attributes:
        hits: Faults that were carried out, by kind of target and action.
        ended_alone: Processes that ended although nobody had hit them, by target and exit code.
        drain_seconds: From the last fault until nothing was on its road any more.
    """

    problems: list[str] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)
    ended_alone: Counter[str] = field(default_factory=Counter)
    pushes: Pushes | None = None
    weather: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    payments: Payments | None = None
    difference: Difference | None = None
    weights: dict[str, Weight] = field(default_factory=dict)
    drain_seconds: float = 0.0
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a stack knows in the end, and the sessions that it was told to the end."""

    outline: Outline
    sessions: tuple[int, ...]


def run_campaign(plan: Plan, folder: Path, tell: Tell) -> Findings:
    """Run under faults, then once more without, and compare."""
    findings, sessions = Findings(), make_sessions(plan)
    began = time.monotonic()
    under_fire = _run_under_fire(plan, folder / "under-fire", sessions, findings, tell)
    findings.seconds["under fire"] = time.monotonic() - began
    if plan.has_reference and under_fire is not None:
        began = time.monotonic()
        tell(f"the same {len(under_fire.sessions)} sessions without faults")
        with Servers(folder / "in-peace", plan, FAIR) as servers:
            chosen = [sessions[number] for number in under_fire.sessions]
            reference = tell_in_peace(servers, chosen)
        findings.difference = compare(reference, under_fire.outline)
        findings.problems += findings.difference.problems
        findings.seconds["in peace"] = time.monotonic() - began
    return findings


def _run_under_fire(
    plan: Plan, folder: Path, sessions: Sequence[TranscriptV1], findings: Findings, tell: Tell
) -> _Told | None:
    with Stack(folder, plan, Weather()) as stack, ExitStack() as running:
        tell(f"{len(stack.keepers)} processes are starting in {folder}")
        if not stack.wait_ready(_SETTLE_SECONDS):
            findings.problems.append("not all processes came up")
            return None
        tell("all of them are up")
        pulse = Pulse(stack.keepers)
        agents = Agents(stack, sessions, plan_errands(plan, len(sessions)))
        for part in (pulse, agents):
            part.start()
            running.callback(part.close)
        _fire(schedule_faults(plan, list(stack.keepers)), stack, tell)
        tell("the faults have ended; waiting until nothing is on its road")
        stack.endpoint.clear_up()
        began = time.monotonic()
        told = _settle(stack, agents, plan, findings, tell)
        findings.drain_seconds = time.monotonic() - began
        findings.pushes, findings.weights = agents.pushes, pulse.weigh()
        findings.problems += agents.pushes.problems
        findings.weather = stack.endpoint.given
        _count_hits(stack, findings)
    return told


def _fire(faults: Sequence[Fault], stack: Stack, tell: Tell) -> None:
    began = time.monotonic()
    for number, fault in enumerate(faults, 1):
        time.sleep(max(began + fault.at - time.monotonic(), 0.0))
        stack.keepers[fault.target].hit(fault)
        if number % 20 == 0:
            tell(f"{number} of {len(faults)} faults, {time.monotonic() - began:.0f} s")


def _settle(
    stack: Stack, agents: Agents, plan: Plan, findings: Findings, tell: Tell
) -> _Told | None:
    """Let everything come to its end, and look at it."""
    if not wait_settled(list(stack.keepers.values()), _SETTLE_SECONDS):
        findings.problems.append("not all processes came back")
        return None
    tell("all processes are back")
    with open_truth(stack) as truth:
        left = wait_drained(truth, lambda: agents.is_busy, plan.drain_seconds, tell)
        findings.problems += check_open(left)
        told = _look(truth, stack, agents, findings)
    return None if any(left.values()) else told


def _look(truth: Truth, stack: Stack, agents: Agents, findings: Findings) -> _Told:
    receipts = agents.pushes.receipts
    problems, findings.dead = check_receipts(truth, receipts)
    findings.payments = count_payments(stack.endpoint, truth, _users(truth))
    findings.problems += [
        *problems,
        *check_memories(truth),
        *check_index(truth, truth.index_rows()),
        *findings.payments.problems,
    ]
    rows = truth.rows("SELECT receipt, state FROM transcripts")
    states = {row["receipt"]: row["state"] for row in rows}
    findings.states = Counter(states.values())
    done = [number for number, key in receipts.items() if states.get(key) == "done"]
    return _Told(read_outline(truth), tuple(sorted(done)))


def _users(truth: Truth) -> list[str]:
    return [row["user_id"] for row in truth.rows("SELECT DISTINCT user_id FROM transcripts")]


def _count_hits(stack: Stack, findings: Findings) -> None:
    for name, keeper in stack.keepers.items():
        findings.hits.update(_named(name, keeper))
        for code, number in keeper.ended_alone.items():
            findings.ended_alone[f"{name}: {code}"] += number


def _named(name: str, keeper: Keeper) -> dict[str, int]:
    kind = name.partition("-")[0]
    return {f"{kind} {action}": number for action, number in keeper.suffered.items()}
