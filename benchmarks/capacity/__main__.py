"""What so many users need, by the costs that ``make bench`` measured.

    python -m benchmarks.capacity [--sessions-a-day 1] [--postgres-cores 16] [--terabytes 2]

Each row is the busiest hour of a day, simulated: three times the average. Users are spread over
databases, each with workers of its own, so that none of the databases is busy for more than half of
the time or holds more than it may; workers are added until all but one of a hundred sessions can be
recalled in time. Each session begins with a recall.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from benchmarks.capacity.costs import Costs, Kept, load_costs
from benchmarks.capacity.simulation import Installation, Seen, simulate
from benchmarks.load.report import LATEST

USERS = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
DAY_SECONDS = 86_400
PEAK = 3.0
MOST_LOAD = 0.5
IN_TIME_SECONDS = 5.0
NUMBERS = 1_536
KEPT = Kept()
SIMULATED_SECONDS = 120.0
console = Console(highlight=False, soft_wrap=True, width=130)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a number of users needs.

    Attributes:
        databases: Each with its own workers; tenants are spread over them.
        processes: Workers of each.
        apis: Processes that answer recalls, of each, half of their time.
        disk_bytes: Of each, when a year is over.
        rate: Sessions a second of each, in the busiest hour.
        seen: How that hour went in one of them.
    """

    users: int
    databases: int
    processes: int
    apis: int
    disk_bytes: float
    rate: float
    seen: Seen


def plan_for(
    users: int, a_day: float, costs: Costs, postgres_cores: int, most_bytes: float
) -> Plan:
    """The fewest databases and workers with which the busiest hour goes well."""
    rate = users * a_day / DAY_SECONDS * PEAK
    one_carries = MOST_LOAD * postgres_cores / costs.postgres_seconds
    disk_bytes = users * a_day * KEPT.disk_bytes(NUMBERS)
    databases = max(1, math.ceil(rate / one_carries), math.ceil(disk_bytes / most_bytes))
    each = rate / databases
    apis = max(1, math.ceil(each * costs.recall_seconds / MOST_LOAD))
    processes = max(1, math.ceil(each * costs.worker_seconds))
    while True:
        installation = Installation(processes, postgres_cores=postgres_cores)
        seen = simulate(costs, installation, each, SIMULATED_SECONDS)
        if seen.waits and not seen.waiting and seen.wait(0.99) <= IN_TIME_SECONDS:
            return Plan(users, databases, processes, apis, disk_bytes / databases, each, seen)
        processes += max(1, processes // 10)


def show(plans: list[Plan]) -> None:
    """As a table."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    headings = (
        "users",
        "sessions/s",
        "databases",
        "workers each",
        "APIs each",
        "worker load",
        "database load",
        "recallable p50",
        "p99",
        "TB each",
    )
    for heading in headings:
        table.add_column(heading, justify="right")
    for plan in plans:
        table.add_row(
            f"{plan.users:,}",
            f"{plan.rate * plan.databases:,.1f}",
            str(plan.databases),
            str(plan.processes),
            str(plan.apis),
            f"{plan.seen.worker_load:.0%}",
            f"{plan.seen.postgres_load:.0%}",
            f"{plan.seen.wait(0.5):.2f} s",
            f"{plan.seen.wait(0.99):.2f} s",
            f"{plan.disk_bytes / 1e12:,.3f}",
        )
    console.print(table)


def main(
    sessions_a_day: Annotated[float, typer.Option(min=0.01, help="Of each user.")] = 1.0,
    postgres_cores: Annotated[int, typer.Option(min=1, help="Of each database.")] = 16,
    terabytes: Annotated[float, typer.Option(min=0.01, help="A database may hold.")] = 2.0,
) -> None:
    """Plan."""
    try:
        costs = load_costs(LATEST)
    except (FileNotFoundError, KeyError) as error:
        console.print(f"no costs to plan by ({error}): run `make bench` first")
        raise typer.Exit(1) from None
    most_bytes = terabytes * 1e12
    plans = [plan_for(it, sessions_a_day, costs, postgres_cores, most_bytes) for it in USERS]
    show(plans)


if __name__ == "__main__":
    typer.run(main)
