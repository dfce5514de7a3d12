"""One campaign: the same sessions under fire and in peace, and whether that made a difference."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.chaos.endpoint import FAIR, Weather
from tests.chaos.findings import Findings
from tests.chaos.fire import Fire
from tests.chaos.outline import compare
from tests.chaos.peace import tell_in_peace
from tests.chaos.sessions import make_sessions
from tests.chaos.stack import Servers, Stack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.plan import Plan


def run_campaign(plan: Plan, folder: Path, tell: Callable[[str], None]) -> Findings:
    """Run under faults, then once more without, and compare."""
    findings, sessions = Findings(), make_sessions(plan)
    began = time.monotonic()
    with Stack(folder / "under-fire", plan, Weather()) as stack:
        told = Fire(stack, plan, sessions, tell).run(findings)
    findings.seconds["under fire"] = time.monotonic() - began
    if plan.has_reference and told is not None:
        began = time.monotonic()
        tell(f"the same {len(told.sessions)} sessions without faults")
        with Servers(folder / "in-peace", plan, FAIR) as servers:
            reference = tell_in_peace(servers, [sessions[number] for number in told.sessions])
        findings.difference = compare(reference, told.outline)
        findings.problems += findings.difference.problems
        findings.seconds["in peace"] = time.monotonic() - began
    return findings
