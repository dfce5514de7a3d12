"""Whether the simulation of an installation behaves as queues do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from benchmarks.capacity.__main__ import IN_TIME_SECONDS, MOST_LOAD, plan_for
from benchmarks.capacity.costs import (
    RECALL,
    SESSION_POSTGRES,
    SESSION_WORKER,
    Costs,
    Kept,
    load_costs,
)
from benchmarks.capacity.simulation import Installation, simulate, simulate_backlog

if TYPE_CHECKING:
    from pathlib import Path

COSTS = Costs(worker_seconds=0.02, postgres_seconds=0.01, recall_seconds=0.03)
PLENTY = 1e18


def test_cores_are_busy_for_what_arrives_times_what_it_costs() -> None:
    """Whatever waits where: the work is the same (the utilisation law)."""
    seen = simulate(COSTS, Installation(processes=2, postgres_cores=1), 40, 60)

    assert seen.rate == pytest.approx(40, rel=0.1)
    assert seen.worker_load == pytest.approx(40 * 0.02 / 2, rel=0.1)
    assert seen.postgres_load == pytest.approx(40 * 0.01, rel=0.1)
    assert 0 == seen.waiting


def test_a_session_alone_takes_what_it_costs() -> None:
    """Nobody is waited for, and the model takes its half second."""
    seen = simulate(COSTS, Installation(processes=4), 0.5, 400)

    assert seen.wait(0.5) == pytest.approx(0.53, abs=0.1)


def test_what_is_too_much_waits_ever_longer() -> None:
    """One core cannot do more than one core's work."""
    seen = simulate(COSTS, Installation(processes=1, postgres_cores=1), 100, 30)

    assert seen.rate < 1 / 0.02
    assert seen.worker_load > 0.95
    assert seen.waiting > 500


@pytest.mark.parametrize(
    ("installation", "bound"),
    [
        (Installation(processes=2, threads=64, model_seconds=0.0), 2 / 0.02),
        (Installation(processes=2, threads=4, model_seconds=0.5), 8 / 0.5),
        (Installation(processes=4, threads=64, postgres_cores=1, model_seconds=0.0), 1 / 0.01),
    ],
)
def test_a_backlog_goes_as_fast_as_the_scarcest_of_all_allows(
    installation: Installation, bound: float
) -> None:
    """Workers, threads in the time of the model, or the database."""
    rate = simulate_backlog(COSTS, installation, 800)

    assert 0.8 * bound < rate < 1.05 * bound


def test_plan_has_room_and_is_in_time_however_many_users_there_are() -> None:
    """No database is busy for more than half of the busiest hour."""
    few, many = (plan_for(users, 1, COSTS, 4, PLENTY) for users in (1_000, 20_000_000))

    assert (1, 1) == (few.databases, few.processes)
    assert many.databases > 1
    for plan in (few, many):
        assert plan.seen.postgres_load < MOST_LOAD * 1.1
        assert plan.seen.wait(0.99) <= IN_TIME_SECONDS


def test_plan_has_as_many_databases_as_hold_what_is_kept() -> None:
    """Where the disk ends first, users are spread further than the processors ask for."""
    plan = plan_for(200_000, 1, COSTS, 16, 1e11)

    assert plan.databases > 1
    assert 0.5e11 < plan.disk_bytes <= 1e11
    assert plan.apis - 1 < plan.rate * COSTS.recall_seconds / MOST_LOAD <= plan.apis


@pytest.mark.parametrize(("numbers", "stored"), [(384, 1_536), (1_024, 4_096), (1_536, 8_192)])
def test_large_vector_takes_a_page_of_its_own(numbers: int, stored: int) -> None:
    """As PostgreSQL stores it: two of them do not fit into one."""
    kept = Kept(memories=10, bytes_beside_vectors=0)

    assert kept.disk_bytes(numbers) == 2 * 10 * stored


def test_costs_are_those_of_the_latest_run(tmp_path: Path) -> None:
    """By the names under which they are kept."""
    file = tmp_path / "latest.json"
    named = {SESSION_WORKER: 20.0, SESSION_POSTGRES: 10.0, RECALL: 30.0}
    figures = [{"name": name, "value": value} for name, value in named.items()]
    file.write_text(json.dumps({"figures": figures}))

    assert COSTS == load_costs(file)
