"""Schedules of campaigns."""

from __future__ import annotations

import itertools
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.chaos.plan import LEASE_SECONDS, Action, Plan, schedule_faults
from tests.chaos.sessions import make_sessions, plan_errands

TARGETS = ["redis", "postgres", "worker-0", "worker-1", "beat", "api"]
SEEDS = st.integers(min_value=0, max_value=10_000)


@given(SEEDS)
def test_schedule_is_the_same_when_the_seed_is(seed: int) -> None:
    """A seed fixes sessions, pushes and faults; another one gives others."""
    plan = Plan(seed, sessions=5, users=2, faults=10)
    other = Plan(seed + 1, sessions=5, users=2, faults=10)

    assert schedule_faults(plan, TARGETS) == schedule_faults(plan, TARGETS)
    assert make_sessions(plan) == make_sessions(plan)
    assert plan_errands(plan, 5) == plan_errands(plan, 5)
    assert schedule_faults(plan, TARGETS) != schedule_faults(other, TARGETS)


@given(SEEDS)
def test_schedule_hits_nobody_who_is_still_down(seed: int) -> None:
    """As many faults as were wanted, in order; each target recovers before its next one."""
    faults = schedule_faults(Plan(seed, faults=60), TARGETS)

    assert 60 == len(faults)
    assert sorted(faults, key=lambda fault: fault.at) == faults
    for target in TARGETS:
        own = [fault for fault in faults if fault.target == target]
        assert all(a.at + a.seconds < b.at for a, b in itertools.pairwise(own))


def test_schedule_hits_everything_in_every_way_when_it_is_long() -> None:
    """Two hundred faults: every kind of target, every action, frozen longer than any lease."""
    faults = schedule_faults(Plan(seed=1, faults=200), TARGETS)

    assert set(TARGETS) == {fault.target for fault in faults}
    assert set(Action) == {fault.action for fault in faults}
    frozen = [fault.seconds for fault in faults if fault.action is Action.FREEZE]
    assert min(frozen) > LEASE_SECONDS


def test_errands_push_every_session_and_some_of_them_twice() -> None:
    """Every session is pushed first over one of both intakes, and a part of them once more."""
    errands = plan_errands(Plan(seed=1, faults=50), 200)

    firsts = Counter(errand.number for errand in errands if not errand.is_second)
    assert Counter(range(200)) == firsts
    assert 10 < sum(errand.is_second for errand in errands) < 60
    assert {"stream", "http"} == {errand.intake for errand in errands}
