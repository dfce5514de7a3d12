"""Reasons for which two statements must not merge, however near their vectors are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipelines.stages.dedup import lexicon
from pipelines.stages.dedup.normalise import statement_key
from pipelines.stages.dedup.reading import Reading, read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipelines.stages.dedup.quantities import Quantity


def vetoes(a: str, b: str) -> Iterator[str]:
    """What the two statements contradict each other in; symmetric, nothing for equal ones.

    The reasons, in this order: ``number``, ``unit``, ``date``, ``name``, ``negation``,
    ``antonym``, ``tense`` (works / worked), ``role`` (who did it to whom), ``question``.
    What only one of them says is no contradiction. Each is looked for when it is asked for: most
    pairs differ in a number or a name already.
    """
    if statement_key(a) == statement_key(b):
        return
    first, second = read(a), read(b)
    for reason, disagree in _CHECKS.items():
        if disagree(first, second):
            yield reason


def _differ_in_number(a: Reading, b: Reading) -> bool:
    return any(not _is_unit_change(left, right) for left, right in _unmatched_quantities(a, b))


def _differ_in_unit(a: Reading, b: Reading) -> bool:
    if any(_is_unit_change(left, right) for left, right in _unmatched_quantities(a, b)):
        return True
    return _take_sides(a.said, b.said, lexicon.PERIODS)


def _unmatched_quantities(a: Reading, b: Reading) -> list[tuple[Quantity, Quantity]]:
    """Pairs of quantities that stand against each other: neither is said by both.

    The same thing counted differently is one even if the other number occurs elsewhere.
    """
    only_a = a.figures.quantities - b.figures.quantities
    only_b = b.figures.quantities - a.figures.quantities
    sizes_a = {item.size for item in a.figures.quantities}
    sizes_b = {item.size for item in b.figures.quantities}
    return [
        (left, right)
        for left in only_a
        for right in only_b
        if (left.measure and left.measure == right.measure)
        or (left.size not in sizes_b and right.size not in sizes_a)
    ]


def _is_unit_change(a: Quantity, b: Quantity) -> bool:
    return a.digits == b.digits and bool(a.unit) and bool(b.unit)


def _differ_in_date(a: Reading, b: Reading) -> bool:
    parts = {part for part, _ in a.figures.dates | b.figures.dates}
    return any(
        _diverge(_of_part(a.figures.dates, part), _of_part(b.figures.dates, part)) for part in parts
    )


def _of_part(dates: frozenset[tuple[str, str]], part: str) -> frozenset[str]:
    return frozenset(value for named, value in dates if named == part)


def _diverge(a: frozenset[str], b: frozenset[str]) -> bool:
    """Each has something that the other has not."""
    return bool(a - b) and bool(b - a)


def _differ_in_name(a: Reading, b: Reading) -> bool:
    return bool(a.names - b.said) and bool(b.names - a.said)


def _differ_in_negation(a: Reading, b: Reading) -> bool:
    if a.denials != b.denials:
        return True
    affirmed_a, affirmed_b = a.content - a.denied, b.content - b.denied
    return bool(a.denied & affirmed_b) and bool(b.denied & affirmed_a)


def _differ_in_direction(a: Reading, b: Reading) -> bool:
    if any(_take_sides(a.said, b.said, sides) for sides in lexicon.OPPOSITES):
        return True
    only_a, only_b = a.said - b.said, b.said - a.said
    return _negates_by_prefix(only_a, only_b) or _negates_by_prefix(only_b, only_a)


def _take_sides(a: frozenset[str], b: frozenset[str], sides: tuple[frozenset[str], ...]) -> bool:
    on_a = {number for number, side in enumerate(sides) if side & a}
    on_b = {number for number, side in enumerate(sides) if side & b}
    return bool(on_a) and bool(on_b) and not on_a & on_b


def _negates_by_prefix(plain: frozenset[str], prefixed: frozenset[str]) -> bool:
    return any(
        f"{prefix}{word}" in prefixed
        for word in plain
        if len(word) > 3  # noqa: PLR2004 - "in" + "to" denies nothing
        for prefix in lexicon.NEGATIVE_PREFIXES
    )


def _differ_in_tense(a: Reading, b: Reading) -> bool:
    return any(
        earlier.past & later.present - earlier.present - later.past
        for earlier, later in ((a, b), (b, a))
    )


def _differ_in_role(a: Reading, b: Reading) -> bool:
    if _swapped(a.subject, b.subject, a.said, b.said) or _crossed(a, b):
        return True
    relations = {relation for relation, _ in a.bound} & {relation for relation, _ in b.bound}
    known_a, known_b = a.content | a.said, b.content | b.said
    return _turned_round(a, b) or any(
        _swapped(_of_part(a.bound, relation), _of_part(b.bound, relation), known_a, known_b)
        for relation in relations
    )


def _turned_round(a: Reading, b: Reading) -> bool:
    """The same word in two relations that exclude each other: to Rome, from Rome."""
    words = {word for _, word in a.bound} & {word for _, word in b.bound}
    return any(
        _take_sides(_relations_of(a, word), _relations_of(b, word), lexicon.OPPOSED_RELATIONS)
        for word in words
    )


def _relations_of(reading: Reading, word: str) -> frozenset[str]:
    return frozenset(relation for relation, bound in reading.bound if bound == word)


def _crossed(a: Reading, b: Reading) -> bool:
    """Partners exchanged: a black dog and a white cat, a white dog and a black cat."""
    only_a, only_b = a.neighbours - b.neighbours, b.neighbours - a.neighbours
    return any(
        (other, right) in only_b and (left, partner) in only_b
        for left, right in only_a
        for other, partner in only_a
        if left != other
    )


def _swapped(
    a: frozenset[str], b: frozenset[str], said_by_a: frozenset[str], said_by_b: frozenset[str]
) -> bool:
    """Different words in one place, though each statement knows the words of both."""
    return bool(a) and bool(b) and not a & b and a <= said_by_b and b <= said_by_a


def _differ_in_asking(a: Reading, b: Reading) -> bool:
    return a.is_question != b.is_question


_CHECKS: dict[str, Callable[[Reading, Reading], bool]] = {
    "number": _differ_in_number,
    "unit": _differ_in_unit,
    "date": _differ_in_date,
    "name": _differ_in_name,
    "negation": _differ_in_negation,
    "antonym": _differ_in_direction,
    "tense": _differ_in_tense,
    "role": _differ_in_role,
    "question": _differ_in_asking,
}
