"""Slots over time: which value held when, from everything that was ever said about it.

The arrangement is a function of the set of facts alone. In whatever order sessions arrive, the
same intervals come out, so a late session is filed into the past and never retires newer
truth. Closed intervals stay: half-open [valid_from, valid_to), each linked to its successor.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from pipelines.stages.dedup import same_value
from pipelines.stages.merging.groups import Group
from pipelines.stages.merging.relate import Relation, said_in_fact

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from pipelines.model import Fact
    from pipelines.stages.merging.relate import Relations


def arrange(facts: Iterable[Fact], relations: Relations, recent: timedelta) -> list[Group]:
    """Arrange the facts of one slot that has one value at a time.

    Values that exclude each other follow each other on a strand; values of which a verdict
    says that both hold stand on strands of their own. A fact that ends a value closes it where
    it is the current one, and changes nothing where another value has already come.

    Args:
        facts: All that was ever said in this slot, in any order.
        relations: How two values relate.
        recent: A value that is said to hold since a day not longer ago than this held until it
            was said, whatever was merely mentioned in between.

    Returns:
        The intervals in the order of their first facts.
    """
    strands: list[list[Group]] = []
    loose: list[Group] = []
    past: list[Group] = []
    for fact in _in_order(list(facts), recent):
        strand = _find_strand(strands, fact, relations)
        if fact.ends and strand is None:
            _join_or_open(loose, fact)
            continue
        if strand is None:
            strand = [Group([fact])]
            strands.append(strand)
        elif _continues(strand[-1], fact, relations):
            strand[-1].facts.append(fact)
        else:
            strand.append(Group([fact]))
        past += _take_back(loose, strand[-1])
    for strand in strands:
        for group, successor in pairwise(strand):
            group.successor, group.ended_at = successor, _start(successor, group)
    return sorted([group for strand in strands for group in strand] + loose + past, key=_first)


def arrange_member(facts: Iterable[Fact], relations: Relations) -> list[Group]:
    """Arrange the facts about one value of an attribute that has many values at once.

    Statements of the value stand side by side, the same ones as one group, until a fact says
    that it ended; what is said after that begins anew.
    """
    done: list[Group] = []
    present: list[Group] = []
    end: Group | None = None
    for fact in sorted(facts, key=lambda item: item.order):
        if not fact.ends:
            if end is not None:
                # It holds again: the statement that it does not is history now.
                end, beginning = None, Group([fact])
                done[-1].successor, done[-1].ended_at = beginning, fact.event_at
                present = [beginning]
            else:
                _join_same(present, fact, relations)
        elif end is not None:
            end.facts.append(fact)
        else:
            end = Group([fact])
            for group in present:
                group.successor, group.ended_at = end, fact.event_at
            done += [*present, end]
            present = []
    return sorted(done + present, key=_first)


def _in_order(facts: list[Fact], recent: timedelta) -> list[Fact]:
    """By the time at which each value held; a mention that a later claim overrules goes before it.

    "We moved to Lisbon last month" overrules that Berlin was mentioned a week ago: who says
    since when something holds knows it better than who said it in passing.
    """
    claims = [fact for fact in facts if timedelta(0) < _age_when_said(fact) <= recent]

    def held_at(fact: Fact) -> datetime:
        if _said_at(fact) != fact.event_at:
            return fact.event_at
        overruling = [
            claim.event_at
            for claim in claims
            if claim.event_at < fact.event_at < _said_at(claim)
            and not claim.ends
            and not same_value(claim.value, fact.value)
        ]
        return min(overruling, default=fact.event_at)

    def key(fact: Fact) -> tuple[datetime, bool, tuple[datetime, str, int]]:
        held = held_at(fact)
        return (held, held == fact.event_at, fact.order)

    return sorted(facts, key=key)


def _age_when_said(fact: Fact) -> timedelta:
    return _said_at(fact) - fact.event_at


def _said_at(fact: Fact) -> datetime:
    return fact.evidence[0].said_at


def _find_strand(
    strands: Sequence[list[Group]], fact: Fact, relations: Relations
) -> list[Group] | None:
    if fact.ends:
        return next((strand for strand in strands if _concerns(strand[-1], fact)), None)
    said = said_in_fact(fact)
    for strand in sorted(strands, key=lambda strand: _first(strand[-1]), reverse=True):
        if relations.of_values(said_in_fact(strand[-1].leader), said) is not Relation.BOTH:
            return strand
    return None


def _concerns(group: Group, ending: Fact) -> bool:
    """Whether it is this value that ends; without a value it is whatever holds."""
    return ending.value is None or same_value(group.leader.value, ending.value)


def _continues(group: Group, fact: Fact, relations: Relations) -> bool:
    if fact.ends or group.leader.ends:
        return fact.ends and group.leader.ends
    return relations.of_values(said_in_fact(group.leader), said_in_fact(fact)) is Relation.SAME


def _join_or_open(groups: list[Group], fact: Fact) -> None:
    home = next((group for group in groups if _concerns(group, fact)), None)
    if home is None:
        groups.append(Group([fact]))
    else:
        home.facts.append(fact)


def _take_back(loose: list[Group], group: Group) -> list[Group]:
    """It holds again: take out the statements that it does not, which end here."""
    if group.leader.ends:
        return []
    over = [end for end in loose if same_value(end.leader.value, group.leader.value)]
    for end in over:
        loose.remove(end)
        end.successor, end.ended_at = group, _start(group, end)
    return over


def _join_same(groups: list[Group], fact: Fact, relations: Relations) -> None:
    said = said_in_fact(fact)
    for group in groups:
        if relations.are_same(said_in_fact(group.leader), said):
            group.facts.append(fact)
            return
    groups.append(Group([fact]))


def _start(successor: Group, group: Group) -> datetime:
    """Never before what it closes began: a mention may stand before the claim that overrules it."""
    return max(successor.leader.event_at, group.leader.event_at)


def _first(group: Group) -> tuple[datetime, str, int]:
    return group.leader.order
