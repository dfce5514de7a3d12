"""A chain gives its last state only if that is what was saved."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from config.checkpoints import CheckpointPolicy
from pipelines.stages.checkpoints.canonical import canonical_json
from pipelines.stages.checkpoints.chain import Link, find_sound, rebuild
from pipelines.stages.checkpoints.delta import make_delta
from pipelines.stages.checkpoints.retention import select_kept
from tests.unit.stages.checkpoints.states import START, make_link

if TYPE_CHECKING:
    from collections.abc import Sequence

FULL = "x" * 200
STATES: list[Any] = [{"kept": FULL, "turn": turn} for turn in range(5)]


def make_chain() -> list[Link]:
    """A full snapshot and four deltas."""
    chain = [make_link(1, STATES[0])]
    for number, state in enumerate(STATES[1:], start=2):
        before = canonical_json(STATES[number - 2])
        delta = make_delta(before, canonical_json(state), CheckpointPolicy())
        chain.append(make_link(number, state, delta, chain[-1]))
    return chain


@pytest.mark.parametrize("length", range(1, 6))
def test_chain_gives_its_last_state(length: int) -> None:
    """However long it is."""
    assert canonical_json(STATES[length - 1]) == rebuild(make_chain()[:length])


DAMAGE: dict[str, bytes] = {
    "no json": b"{",
    "another state": b'{"kept":"y"}',
    "a patch of nothing": b"[]",
    "a patch of what is not there": b'[{"op":"remove","path":"/nowhere"}]',
    "no patch": b'[{"op":"launch"}]',
    "a patch to another turn": b'[{"op":"replace","path":"/turn","value":9}]',
    "a number": b"1",
    "nothing": b"",
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("content", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("place", range(5))
def test_state_behind_a_damaged_link_is_not_given(place: int, content: bytes) -> None:
    """Whatever stands there instead; what came before it is."""
    chain = make_chain()
    chain[place] = replace(chain[place], content=content)

    assert rebuild(chain[: place + 1]) is None
    sound = find_sound(chain[: place + 1])
    assert (sound and sound.state) == (canonical_json(STATES[place - 1]) if place else None)


def test_chain_with_a_gap_or_without_a_beginning_gives_nothing() -> None:
    """Even if the deltas could be applied."""
    chain = make_chain()

    for broken in ([chain[0], chain[2]], chain[1:], [chain[0], chain[2], chain[3], chain[4]]):
        assert rebuild(broken) is None


def test_sound_state_behind_a_damaged_hash_is_found() -> None:
    """A checkpoint whose hash was damaged does not damage those after it."""
    chain = make_chain()
    chain[3] = replace(chain[3], checkpoint=replace(chain[3].checkpoint, sha256="0" * 64))

    assert rebuild(chain[:4]) is None
    assert canonical_json(STATES[4]) == rebuild(chain)


@pytest.mark.parametrize(
    ("ages", "kept"),
    [
        ([0, 1, 2], 3),
        ([0, 1, 2, 3, 4, 5, 6], 5),
        ([0, 1, 40, 41], 2),
        ([40, 41], 0),
        ([], 0),
        ([0, 40, 1], 1),
    ],
    ids=["few", "many", "old", "given-up", "none", "clock-set-back"],
)
def test_newest_ones_that_are_young_enough_are_kept(ages: Sequence[int], kept: int) -> None:
    """The last ones without a gap: nothing that is kept rests on what goes."""
    now = START + timedelta(days=100)
    found = [
        replace(make_link(100 - place, {}).checkpoint, saved_at=now - timedelta(days=age))
        for place, age in enumerate(ages)
    ]

    assert list(found[:kept]) == list(select_kept(found, now, CheckpointPolicy()))


@pytest.mark.parametrize(
    "changes",
    [{"retention": timedelta(minutes=59)}, {"retention": timedelta(days=31)}, {"keep": 0}],
    ids=["short", "long", "none"],
)
def test_policy_that_keeps_nothing_or_for_ever_is_refused(changes: dict[str, Any]) -> None:
    """One hour to thirty days, and at least the newest."""
    with pytest.raises(ValueError, match=r"kept for one hour|without its newest"):
        CheckpointPolicy(**changes)
