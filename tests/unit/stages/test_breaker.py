"""The circuit breaker as a function of what happened."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.outages import OutagePolicy
from pipelines.stages.breaker import (
    Asked,
    Circuit,
    ask,
    is_excused,
    may_ask,
    note_failure,
    note_nothing,
    note_success,
    wait_seconds,
)
from tests.builders import START, day

POLICY = OutagePolicy()
CALL, PROBE = Asked(is_probe=False), Asked(is_probe=True)
LATER = START + timedelta(hours=1)


def fail(circuit: Circuit, times: int = 1, asked: Asked = CALL) -> Circuit:
    for _ in range(times):
        circuit = note_failure(circuit, asked, START, POLICY, 0)
    return circuit


def test_circuit_opens_after_enough_failures_in_a_row() -> None:
    """One fewer, or an answer between them, leaves it closed."""
    nearly = fail(Circuit(), POLICY.failures - 1)
    opened = fail(nearly)

    assert may_ask(nearly, START)
    assert opened.is_open
    assert (opened, None) == ask(opened, START, POLICY)
    assert not fail(note_success(START), POLICY.failures - 1).is_open


def test_open_circuit_lets_one_probe_through_when_it_is_time() -> None:
    """Whoever else comes is refused until the probe has ended or is given up."""
    opened = fail(Circuit(), POLICY.failures)
    at = START + POLICY.first

    probing, asked = ask(opened, at, POLICY)

    assert PROBE == asked
    assert (probing, None) == ask(probing, at, POLICY)
    assert PROBE == ask(probing, at + POLICY.probe_lease, POLICY)[1]
    assert PROBE == ask(note_nothing(probing, PROBE), at, POLICY)[1]


def test_probe_that_is_answered_closes_the_circuit() -> None:
    """All is as if nothing had been."""
    assert Circuit(answered_at=LATER) == note_success(LATER)
    assert may_ask(note_success(LATER), LATER)


def test_probes_come_ever_more_slowly_up_to_a_bound() -> None:
    """Each waits longer, none longer than the bound and its jitter."""
    circuit, waits = fail(Circuit(), POLICY.failures), []
    for _ in range(6):
        waits.append(wait_seconds(circuit, START))
        circuit = fail(circuit, asked=PROBE)

    assert [5, 10, 20, 40, 40, 40] == waits
    jittered = note_failure(circuit, PROBE, START, POLICY, 1)
    assert 50 == wait_seconds(jittered, START)


def test_calls_under_way_when_it_opened_move_no_probe() -> None:
    """Sixty-four threads that fail together are one outage."""
    opened = fail(Circuit(), POLICY.failures)

    assert opened.probe_at == fail(opened, 64).probe_at


@pytest.mark.parametrize(
    ("circuit", "expected"),
    [
        (Circuit(), True),
        (Circuit(answered_at=START), False),
        (Circuit(answered_at=LATER, failures=2, failing_since=LATER), False),
        (Circuit(answered_at=START, failures=1, failing_since=START), True),
        (Circuit(LATER, 3, LATER, 0, LATER), True),
        (Circuit(failures=9, failing_since=LATER - POLICY.patience), False),
        (Circuit(START, 9, LATER - POLICY.patience, 7, LATER), False),
    ],
    ids=["unknown", "first", "recent", "long-ago", "open", "for-days", "open-for-days"],
)
def test_failure_is_excused_when_nobody_was_answered_lately(
    circuit: Circuit, expected: bool
) -> None:
    """What fails while others are answered is to blame itself; and so is what fails for days."""
    assert expected is is_excused(circuit, LATER, POLICY)


def test_one_that_fails_between_the_answers_of_others_is_never_excused() -> None:
    """However seldom the others come."""
    circuit = Circuit()
    for number in range(POLICY.failures * 3):
        circuit = note_success(day(number))
        assert not is_excused(circuit, day(number) + timedelta(hours=9), POLICY)
        circuit = note_failure(circuit, CALL, day(number), POLICY, 0)
        assert not circuit.is_open


@given(
    st.lists(st.tuples(st.sampled_from(["ask", "answer", "fail", "nothing"]), st.integers(0, 90)))
)
def test_circuit_lets_at_most_one_probe_through_at_a_time(steps: list[tuple[str, int]]) -> None:
    """Whatever happens in whatever order, and it is never stuck: later it asks again."""
    circuit, now, probe = Circuit(), START, None
    for step, seconds in steps:
        now += timedelta(seconds=seconds)
        if step == "ask":
            circuit, asked = ask(circuit, now, POLICY)
            if asked == PROBE:
                assert probe is None or now - probe >= POLICY.probe_lease
                probe = now
        elif step == "answer":
            circuit, probe = note_success(now), None
        elif step == "fail":
            circuit = note_failure(circuit, PROBE if probe else CALL, now, POLICY, 0)
            probe = None
        elif probe:
            circuit, probe = note_nothing(circuit, PROBE), None
    assert may_ask(circuit, now + POLICY.longest * 2 + POLICY.probe_lease)
