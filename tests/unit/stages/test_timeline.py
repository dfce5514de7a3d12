"""One slot over time."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from pipelines.model import MemoryState, receipt_id
from pipelines.stages.timeline import arrange
from tests.builders import ALICE, day, make_evidence, make_fact, make_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipelines.model import Memory

Story = list[tuple[int, str]]


def city(number: int, value: str) -> Memory:
    fact = make_fact(
        f"User lives in {value}.",
        session=f"s{number}-{value}",
        at=day(number),
        attribute="home city",
        value=value,
    )
    return make_memory(fact)


def tell(story: Sequence[tuple[int, str]]) -> list[Memory]:
    known: list[Memory] = []
    for number, value in story:
        known = arrange(known, city(number, value))
    return known


def intervals(memories: Sequence[Memory]) -> list[tuple[str | None, object, object]]:
    return [(memory.value, memory.valid_from, memory.valid_to) for memory in memories]


def test_timeline_closes_the_old_interval_when_the_value_changes() -> None:
    """The successor's start is the predecessor's end, and the two are linked."""
    berlin, lisbon = tell([(0, "Berlin"), (30, "Lisbon")])

    assert [("Berlin", day(0), day(30)), ("Lisbon", day(30), None)] == intervals([berlin, lisbon])
    assert (MemoryState.SUPERSEDED, lisbon.id) == (berlin.state, berlin.superseded_by)
    assert (lisbon.state, lisbon.superseded_by) == (MemoryState.ACTIVE, None)


def test_timeline_files_a_late_session_into_the_past() -> None:
    """An old session that arrives late never retires newer truth."""
    late, lisbon = tell([(30, "Lisbon"), (0, "Berlin")])

    assert [("Berlin", day(0), day(30)), ("Lisbon", day(30), None)] == intervals([late, lisbon])


def test_timeline_keeps_one_memory_when_the_value_is_said_again() -> None:
    """A repeated value adds evidence to the interval instead of opening another."""
    (berlin,) = tell([(0, "Berlin"), (9, "berlin")])

    assert (day(0), day(9), 2) == (berlin.valid_from, berlin.confirmed_at, len(berlin.evidence))


def test_timeline_opens_a_third_interval_when_a_value_returns() -> None:
    """Berlin, Lisbon, Berlin are three intervals: the second Berlin is not the first."""
    told = tell([(0, "Berlin"), (30, "Lisbon"), (60, "Berlin")])

    assert len({memory.id for memory in told}) == 3
    assert [
        ("Berlin", day(0), day(30)),
        ("Lisbon", day(30), day(60)),
        ("Berlin", day(60), None),
    ] == (intervals(told))


def test_timeline_cuts_an_interval_in_two_when_a_late_value_falls_inside() -> None:
    """The part after the late value goes on as a memory of its own, with its evidence."""
    first, late, rest = tell([(0, "Berlin"), (60, "Berlin"), (30, "Lisbon")])

    assert [
        ("Berlin", day(0), day(30)),
        ("Lisbon", day(30), day(60)),
        ("Berlin", day(60), None),
    ] == intervals([first, late, rest])
    assert len({first.id, late.id, rest.id}) == 3
    assert [len(memory.evidence) for memory in (first, late, rest)] == [1, 1, 1]


def test_timeline_keeps_every_interval_apart_when_all_is_said_at_one_time() -> None:
    """Values that alternate within one undated session are memories of their own."""
    said = [make_evidence(f"{n}", receipt=receipt_id(ALICE, "s"), index=n) for n in range(5)]
    paris = make_memory(
        make_fact("Paris", attribute="city", value="Paris", evidence=tuple(said[0::2]))
    )
    rome = make_memory(
        make_fact("Rome", attribute="city", value="Rome", ordinal=1, evidence=tuple(said[1::2]))
    )

    told = arrange([paris], rome)

    assert 5 == len({memory.id for memory in told})
    assert said == [item for memory in told for item in memory.evidence]
    assert [memory.id for memory in told[1:]] == [memory.superseded_by for memory in told[:-1]]


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from("ABC")), min_size=1, max_size=4))
def test_timeline_is_the_same_in_every_order_of_arrival(story: Story) -> None:
    """The intervals are a function of what was said, not of when it arrived."""
    unique = list(dict.fromkeys(story))
    expected = intervals(
        tell(sorted(unique, key=lambda item: (item[0], str(city(*item).evidence[0].transcript_id))))
    )

    for order in itertools.permutations(unique):
        assert expected == intervals(tell(order))


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from("ABC")), min_size=1, max_size=8))
def test_timeline_has_exactly_one_current_value_and_no_gaps(story: Story) -> None:
    """Intervals touch, only the last is open, and no evidence is lost or doubled."""
    unique = list(dict.fromkeys(story))
    told = tell(unique)

    assert [m.state for m in told if m.valid_to is None] == [MemoryState.ACTIVE]
    assert all(a.valid_to == b.valid_from for a, b in itertools.pairwise(told))
    assert len(unique) == sum(len(memory.evidence) for memory in told)
