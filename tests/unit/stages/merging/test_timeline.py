"""One slot over time."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from config.policy import DedupPolicy
from pipelines.stages.merging.relate import Pair, Relation, Relations, said_in_fact
from pipelines.stages.merging.timeline import arrange, arrange_member
from tests.builders import day, make_evidence, make_fact, vector_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from pipelines.model import Fact
    from pipelines.stages.merging.groups import Group

RECENT = timedelta(days=92)
Story = list[tuple[int, str]]


def city(number: int, value: str | None, *, ends: bool = False, said: int | None = None) -> Fact:
    """A value that holds from a day, said on another."""
    session = f"s{number}-{value}-{ends}"
    fact = make_fact(
        f"User lives in {value}.",
        session=session,
        at=day(number),
        attribute="home city",
        value=value,
        ends=ends,
    )
    if said is None:
        return fact
    evidence = make_evidence("said", receipt=fact.transcript_id, session=session, at=day(said))
    return replace(fact, evidence=(replace(evidence, event_at=day(number)),))


def arranged(facts: Sequence[Fact], verdicts: dict[str, Relation] | None = None) -> list[Group]:
    return arrange(facts, Relations(DedupPolicy(), vector_of, verdicts), RECENT)


def tell(story: Sequence[tuple[int, str]]) -> list[Group]:
    return arranged([city(*item) for item in story])


def intervals(groups: Sequence[Group]) -> list[tuple[str | None, object, object]]:
    return [(group.leader.value, group.leader.event_at, group.ended_at) for group in groups]


def test_timeline_closes_the_old_interval_when_the_value_changes() -> None:
    """The successor's start is the predecessor's end, and the two are linked."""
    berlin, lisbon = tell([(0, "Berlin"), (30, "Lisbon")])

    assert [("Berlin", day(0), day(30)), ("Lisbon", day(30), None)] == intervals([berlin, lisbon])
    assert (lisbon, None) == (berlin.successor, lisbon.successor)


def test_timeline_files_a_late_session_into_the_past() -> None:
    """An old session that arrives late never retires newer truth."""
    late, lisbon = tell([(30, "Lisbon"), (0, "Berlin")])

    assert [("Berlin", day(0), day(30)), ("Lisbon", day(30), None)] == intervals([late, lisbon])


def test_timeline_keeps_one_memory_when_the_value_is_said_again() -> None:
    """A repeated value adds evidence to the interval instead of opening another."""
    (berlin,) = tell([(0, "Berlin"), (9, "berlin")])

    assert [day(0), day(9)] == [fact.event_at for fact in berlin.facts]


def test_timeline_opens_a_third_interval_when_a_value_returns() -> None:
    """Berlin, Lisbon, Berlin are three intervals: the second Berlin is not the first."""
    told = tell([(0, "Berlin"), (30, "Lisbon"), (60, "Berlin")])

    assert [
        ("Berlin", day(0), day(30)),
        ("Lisbon", day(30), day(60)),
        ("Berlin", day(60), None),
    ] == intervals(told)


def test_timeline_cuts_an_interval_in_two_when_a_late_value_falls_inside() -> None:
    """The part after the late value goes on as an interval of its own."""
    first, late, rest = tell([(0, "Berlin"), (60, "Berlin"), (30, "Lisbon")])

    assert [
        ("Berlin", day(0), day(30)),
        ("Lisbon", day(30), day(60)),
        ("Berlin", day(60), None),
    ] == intervals([first, late, rest])


def test_timeline_keeps_every_interval_apart_when_all_is_said_at_one_time() -> None:
    """Values that alternate within one undated session are intervals of their own."""
    said = [
        make_fact("said", attribute="city", value=value, ordinal=number)
        for number, value in enumerate(["Paris", "Rome", "Paris", "Rome", "Paris"])
    ]

    told = arranged(said)

    assert [[fact] for fact in said] == [group.facts for group in told]
    assert told[1:] == [group.successor for group in told[:-1]]


def test_timeline_ends_a_value_without_a_successor() -> None:
    """Who left Acme is not at Acme any more, and nobody knows where they are."""
    told = arranged([city(0, "Acme"), city(9, "Acme", ends=True)])

    assert [("Acme", day(0), day(9)), ("Acme", day(9), None)] == intervals(told)
    assert [False, True] == [group.leader.ends for group in told]


def test_timeline_ends_whatever_holds_when_no_value_is_named() -> None:
    """ "I quit my job" ends the one there is."""
    told = arranged([city(0, "Acme"), city(9, None, ends=True), city(20, "Beta")])

    assert [
        ("Acme", day(0), day(9)),
        (None, day(9), day(20)),
        ("Beta", day(20), None),
    ] == intervals(told)


def test_timeline_does_not_let_an_end_retire_another_value() -> None:
    """To say once more that Acme is over changes nothing about Beta."""
    told = arranged([city(0, "Acme"), city(9, "Beta"), city(20, "Acme", ends=True)])

    assert [
        ("Acme", day(0), day(9)),
        ("Beta", day(9), None),
        ("Acme", day(20), None),
    ] == intervals(told)


def test_timeline_closes_an_end_without_its_value_when_the_value_holds_again() -> None:
    """Left, joined again, and left again after others came: one statement of leaving is current."""
    left, here, gone, again = arranged(
        [
            city(0, "Berlin", ends=True),
            city(9, "Berlin"),
            city(20, "Oslo"),
            city(30, "Berlin", ends=True),
        ]
    )

    assert [
        ("Berlin", day(0), day(9)),
        ("Berlin", day(9), day(20)),
        ("Oslo", day(20), None),
        ("Berlin", day(30), None),
    ] == intervals([left, here, gone, again])
    assert here is left.successor


def test_timeline_lets_a_dated_claim_overrule_a_mention_before_it_was_said() -> None:
    """Who moved last month did not move back because of what was said in passing meanwhile."""
    told = arranged([city(0, "Berlin"), city(50, "Berlin"), city(40, "Lisbon", said=70)])

    assert [("Berlin", day(0), day(40)), ("Lisbon", day(40), None)] == intervals(told)


def test_timeline_files_a_claim_about_long_ago_into_the_past() -> None:
    """A tale of years ago does not retire what was said since."""
    told = arranged([city(0, "Berlin"), city(50, "Berlin"), city(-900, "Paris", said=70)])

    assert [("Paris", day(-900), day(0)), ("Berlin", day(0), None)] == intervals(told)


def test_timeline_keeps_both_values_when_a_verdict_says_that_they_hold_together() -> None:
    """Two values that were judged to stand side by side do not retire each other."""
    monday, friday = city(0, "Monday"), city(5, "Friday")
    key = Pair(said_in_fact(monday), said_in_fact(friday), 0.0).key

    told = arranged([monday, friday], {key: Relation.BOTH})

    assert [("Monday", day(0), None), ("Friday", day(5), None)] == intervals(told)


def test_timeline_keeps_one_interval_when_a_verdict_says_that_the_values_are_the_same() -> None:
    """Munich by another name is no move."""
    munich, muenchen = city(0, "Munich"), city(5, "Monaco di Baviera")
    key = Pair(said_in_fact(munich), said_in_fact(muenchen), 0.0).key

    told = arranged([munich, muenchen], {key: Relation.SAME})

    assert [("Munich", day(0), None)] == intervals(told)


def test_timeline_of_one_value_among_many_begins_anew_after_its_end() -> None:
    """A hobby that was given up and taken up again is three memories, two of them history."""
    told = arrange_member(
        [city(0, "chess"), city(1, "chess"), city(5, "chess", ends=True), city(9, "chess")],
        Relations(DedupPolicy(), vector_of),
    )

    assert [
        ("chess", day(0), day(5)),
        ("chess", day(5), day(9)),
        ("chess", day(9), None),
    ] == intervals(told)


@given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from("ABC")), min_size=1, max_size=8))
def test_timeline_has_exactly_one_current_value_and_no_gaps(story: Story) -> None:
    """Intervals touch, only the last is open, and no fact is lost or doubled."""
    unique = list(dict.fromkeys(story))
    told = tell(unique)

    assert [told[-1]] == [group for group in told if group.ended_at is None]
    assert all(a.ended_at == b.leader.event_at for a, b in itertools.pairwise(told))
    assert len(unique) == sum(len(group.facts) for group in told)


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from("ABC"), st.booleans(), st.integers(0, 120)),
        min_size=1,
        max_size=6,
        unique_by=lambda item: item[:3],
    ),
    st.randoms(use_true_random=False),
)
def test_timeline_does_not_depend_on_the_order_of_arrival(
    story: list[tuple[int, str, bool, int]], random: Random
) -> None:
    """The intervals are a function of what was said, also of ends and of dated claims."""
    facts = [
        city(number, value, ends=ends, said=number + later) for number, value, ends, later in story
    ]

    shuffled = random.sample(facts, len(facts))

    assert intervals(arranged(facts)) == intervals(arranged(shuffled))
