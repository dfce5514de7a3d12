"""What a campaign found, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from typing import TYPE_CHECKING

from rich.table import Table

from tests.chaos.plan import WEIGHTS, Action

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

    from tests.chaos.findings import Findings
    from tests.chaos.plan import Plan


def show(console: Console, plan: Plan, findings: Findings) -> None:
    """Tables, and the problems below them."""
    console.print(_figures(plan, findings))
    console.print(_hits(findings))
    console.print(_weights(findings))
    for problem in findings.problems:
        console.print(f"[bold red]violated[/]: {problem}", highlight=False, soft_wrap=True)
    verdict = f"{len(findings.problems)} violations" if findings.problems else "everything held"
    console.print(f"seed {plan.seed}: {verdict}", style="bold")


def write(path: Path, plan: Plan, findings: Findings) -> None:
    """The same as JSON."""
    body = {"schema_version": 1, "plan": plan.figures(), "passed": not findings.problems}
    body |= {item.name: _plain(getattr(findings, item.name)) for item in fields(findings)}
    path.write_text(json.dumps(body, indent=2) + "\n")


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, int | float | str | None) else str(value)


def _figures(plan: Plan, findings: Findings) -> Table:
    table = Table("figure", "value", title=f"chaos, seed {plan.seed}")
    for name, value in _rows(findings):
        table.add_row(name, value)
    return table


def _rows(findings: Findings) -> Iterator[tuple[str, str]]:
    for name, seconds in findings.seconds.items():
        yield f"seconds {name}", f"{seconds:.1f}"
    yield "seconds to drain", f"{findings.drain_seconds:.1f}"
    pushes = findings.pushes
    if pushes is not None:
        yield "sessions acknowledged", str(len(pushes.receipts))
        for intake, number in sorted(pushes.acknowledged.items()):
            yield f"pushes over {intake}", f"{number}, repeated {pushes.unavailable[intake]} times"
        yield "longest push (s)", f"{max(pushes.seconds, default=0.0):.1f}"
    yield "recalls meanwhile", _counted(findings.recalls)
    yield "transcripts", _counted(findings.states)
    yield "dead letters", _counted(findings.dead) or "none"
    yield "endpoint", _counted(findings.weather)
    paid = findings.payments
    if paid is not None:
        yield (
            "calls answered / replies / booked",
            f"{paid.answered} / {paid.replies} / {paid.booked}",
        )
        yield "answers lost with their worker", f"{paid.unkept + paid.raced}"
        yield "answers after the reply was stored", str(len(paid.overtaken))
    same = findings.difference
    if same is not None:
        missing, more = len(same.missing), len(same.additional)
        yield "memories as without faults", f"{same.same}, {missing} missing, {more} additional"
        yield "of them under other ids", str(same.other_ids)
    yield "processes that ended by themselves", _counted(findings.ended_alone) or "none"


def _hits(findings: Findings) -> Table:
    table = Table("target", *Action, title=f"{sum(findings.hits.values())} faults")
    for target in WEIGHTS:
        table.add_row(target, *(str(findings.hits[f"{target} {action}"]) for action in Action))
    return table


def _weights(findings: Findings) -> Table:
    columns = ("processes", "peak MB", "last MB", "growth MB", "longest s")
    table = Table("process", *columns, title="resident memory")
    for name, weight in findings.weights.items():
        table.add_row(name, *(str(value) for value in asdict(weight).values()))
    return table


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
