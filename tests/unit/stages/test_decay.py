"""How strong a memory is that nobody uses."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.decay import DecayPolicy
from pipelines.model import Kind
from pipelines.stages.decay import Use, half_life_of, has_faded, strength, strength_of
from tests.builders import START, day

POLICY = DecayPolicy()
MONTH = timedelta(days=30)
kinds = st.sampled_from(Kind)
shares = st.floats(0, 1)
days = st.floats(0, 10_000).map(lambda count: timedelta(days=count))
counts = st.integers(0, 10**6)


def test_strength_is_the_formula() -> None:
    """``2^(-idle days / 30) * ln(1 + uses)``, the write counting as the first use."""
    assert math.log(2) == strength(timedelta(), 1, MONTH)
    assert pytest.approx(math.log(2) / 2) == strength(MONTH, 1, MONTH)
    assert pytest.approx(math.log(11) / 8) == strength(3 * MONTH, 10, MONTH)
    assert 0.0 == strength(timedelta(days=10**6), 1, MONTH)


def test_importance_stretches_the_half_life_of_a_kind() -> None:
    """By half of it on either side."""
    assert (15, 30, 45) == tuple(
        half_life_of(Kind.EVENT, importance, POLICY).days for importance in (0, 0.5, 1)
    )
    assert timedelta(days=365) == half_life_of(Kind.PROFILE, 0.5, POLICY)


def test_new_memory_of_every_kind_has_not_faded() -> None:
    """The write counts as the first use: nothing is evicted unread."""
    assert not any(
        has_faded(strength_of(Use(START), kind, 0.0, START, POLICY), POLICY) for kind in Kind
    )


@given(kinds, shares, days, counts)
def test_what_was_used_within_its_half_life_has_not_faded(
    kind: Kind, importance: float, age: timedelta, uses: int
) -> None:
    """Whatever its kind, its importance and its age, by the half-life that its kind is given."""
    now = START + age
    within = min(POLICY.half_lives[kind.value], age)

    found = strength_of(Use(START, uses, now - within), kind, importance, now, POLICY)

    assert not has_faded(found, POLICY)


@given(kinds, shares, days, days, counts)
def test_strength_falls_with_time_and_rises_with_uses(
    kind: Kind, importance: float, sooner: timedelta, later: timedelta, uses: int
) -> None:
    """And is never less than nothing."""
    early, late = sorted([START + sooner, START + later])

    then = strength_of(Use(START, uses), kind, importance, early, POLICY)
    now = strength_of(Use(START, uses), kind, importance, late, POLICY)
    used = strength_of(Use(START, uses + 1), kind, importance, late, POLICY)

    assert 0 <= now <= then
    assert now <= used


def test_clock_that_was_set_back_makes_no_memory_stronger_than_new() -> None:
    """What was used in the future was used now."""
    found = strength_of(Use(START, 1, day(9)), Kind.EVENT, 0.5, day(1), POLICY)

    assert pytest.approx(math.log(3)) == found
