"""What may go of a LangGraph thread."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from pipelines.stages.threads import ROOT, Position, select_superseded

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def _line(count: int, **fields: object) -> list[Position]:
    """A linear thread of that many, newest first, one a minute, the newest at noon."""
    return [
        Position(
            f"c{number:03}",
            f"c{number - 1:03}" if number else None,
            NOON - timedelta(minutes=count - 1 - number),
            **fields,  # type: ignore[arg-type]
        )
        for number in reversed(range(count))
    ]


def test_select_superseded_names_all_but_the_newest_when_nothing_else_is_needed() -> None:
    """Of each namespace the newest stay, and the others go newest first."""
    thread = {ROOT: _line(5), "sub": _line(3)}
    assert {ROOT: ["c002", "c001", "c000"], "sub": ["c000"]} == select_superseded(thread, 2, NOON)


def test_select_superseded_keeps_what_a_run_may_have_begun_at_when_newer_ones_are_young() -> None:
    """The newest ones of the cutoff stay, beside all that were saved since."""
    cutoff = NOON - timedelta(minutes=2)
    assert {ROOT: ["c001", "c000"]} == select_superseded({ROOT: _line(5)}, 1, cutoff)


def test_select_superseded_names_nothing_when_times_cannot_be_read() -> None:
    """What has no time counts as just saved."""
    line = [Position(item.id, item.parent_id, None) for item in _line(5)]
    assert {} == select_superseded({ROOT: line}, 1, LATER)


def test_select_superseded_keeps_ancestors_back_to_a_whole_state_when_one_is_read_from_them() -> (
    None
):
    """A checkpoint of which only changes are stored needs its parents, and these theirs."""
    line = _line(6)
    line[:3] = [Position(i.id, i.parent_id, i.saved_at, needs_parent=True) for i in line[:3]]
    assert {ROOT: ["c001", "c000"]} == select_superseded({ROOT: line}, 1, NOON)


def test_select_superseded_keeps_the_own_ancestors_when_a_thread_has_forked() -> None:
    """Which one is older says nothing: a fork needs those that it came from."""
    line = _line(5, needs_parent=True)
    line.insert(0, Position("c900", "c001", NOON, needs_parent=True))
    assert {ROOT: ["c004", "c003", "c002"]} == select_superseded({ROOT: line}, 1, NOON)


def test_select_superseded_takes_the_call_of_a_subgraph_when_its_caller_goes() -> None:
    """A call goes with the checkpoint that called it, one that stays keeps its own."""
    thread = {ROOT: _line(3), "a:1": _line(2, root_id="c000"), "a:2": _line(1, root_id="c002")}
    expected = {"a:1": ["c001", "c000"], ROOT: ["c001", "c000"]}
    assert expected == select_superseded(thread, 1, NOON)


def test_select_superseded_leaves_a_call_alone_when_its_caller_is_not_saved_yet() -> None:
    """Runs save in the background: a call can be there before its caller."""
    thread = {ROOT: _line(1), "a:1": _line(1, root_id="c900")}
    assert {} == select_superseded(thread, 1, NOON)


@given(st.data())
def test_select_superseded_leaves_nothing_unreadable_when_it_goes_on_in_portions(
    data: st.DataObject,
) -> None:
    """After any portion, whatever is left finds the parents that it needs; all goes in the end."""
    count = data.draw(st.integers(1, 12))
    line: list[Position] = []
    for number in range(count):
        parent = data.draw(st.sampled_from([None, *(item.id for item in line)]))
        needs = data.draw(st.booleans())
        line.insert(0, Position(f"c{number:03}", parent, NOON, needs_parent=needs))
    keep, limit = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 5))
    whole = set(select_superseded({ROOT: line}, keep, NOON).get(ROOT, []))
    left, gone = list(line), set[str]()
    while portion := select_superseded({ROOT: left}, keep, NOON, limit).get(ROOT, []):
        gone |= set(portion)
        left = [item for item in left if item.id not in gone]
        assert len(portion) <= limit
        assert gone.isdisjoint({item.parent_id for item in left if item.needs_parent})
    assert whole == gone
