"""The event log, read from its beginning."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import pytest

from pipelines.model import MemoryId
from pipelines.stages.event_log import Entry, Recorded, compare, fold, record, to_memory
from tests.builders import ALICE, day, make_fact, make_memory
from tests.wire import content

KEY = MemoryId(uuid.UUID(int=1))
GOLDEN = Path(content.__file__).parent / "golden" / "event-1.json"
WHOLE = json.loads(GOLDEN.read_text(encoding="utf-8"))[0]["body"]
(SAID,) = WHOLE["added"]


def insert(**fields: object) -> Entry:
    body = {**WHOLE, "memory": {**WHOLE["memory"], **fields}}
    return Entry(KEY, "memory_inserted", body)


def changed(name: str, **fields: object) -> Entry:
    return Entry(KEY, name, {"memory": fields})


def told(*entries: Entry) -> Recorded:
    return fold(entries)[KEY]


def test_memory_is_told_by_the_event_that_inserted_it() -> None:
    """With all that it is, and what it rests on."""
    assert content.MEMORY == to_memory(content.MEMORY.id, ALICE, told(insert()), None)


def test_event_that_says_only_what_it_changed_leaves_the_rest() -> None:
    """An eviction knows nothing of what the memory says."""
    after = told(insert(), changed("memory_evicted", evicted_at=day(1).isoformat(), version=2))

    assert {**told(insert()).fields, "evicted_at": day(1).isoformat(), "version": 2} == after.fields
    assert told(insert()).evidence == after.evidence


def test_event_of_a_memory_that_is_not_there_changes_nothing() -> None:
    """Whoever pinned it met its eraser."""
    assert {} == fold([changed("memory_pinned", pinned=True)])


@pytest.mark.parametrize("name", ["memory_purged", "memory_erased"])
def test_memory_that_is_gone_is_not_known_until_it_is_inserted_again(name: str) -> None:
    """An erased one says nothing at all."""
    gone = Entry(KEY, name, {})

    assert {} == fold([insert(), gone])
    assert told(insert(value="x")) == told(insert(), gone, insert(value="x"))


def test_evidence_is_released_before_it_is_added_and_stays_as_it_was_cited_first() -> None:
    """As the rows have it."""
    again = {**SAID, "speaker": "Somebody"}
    more = {**SAID, "message_index": 7}
    kept = Entry(KEY, "memory_reinforced", {"memory": {}, "added": [again, more]})
    moved = Entry(KEY, "memory_refiled", {"memory": {}, "released": [SAID], "added": [again]})

    speakers = [item["speaker"] for item in told(insert(), kept).evidence.values()]
    assert ["User", "User"] == speakers
    assert ["Somebody"] == [item["speaker"] for item in told(insert(), moved).evidence.values()]


def test_times_are_equal_however_they_are_spelled() -> None:
    """PostgreSQL leaves out zeros, and another zone is no other time."""
    spelled = ("2026-03-02T10:00:00.5+01:00", "2026-03-02T09:00:00.500000+00:00")

    first, second = (told(insert(valid_from=time)) for time in spelled)

    assert first == second


def test_fold_goes_on_where_another_one_ended() -> None:
    """And changes nothing of what it began with."""
    start = fold([insert()])
    before = dict(start)

    after = fold([changed("memory_pinned", pinned=True)], start)

    assert before == start
    assert told(insert(), changed("memory_pinned", pinned=True)) == after[KEY]


def test_comparison_names_fields_and_evidence_that_differ() -> None:
    """And nothing of two that say the same."""
    one = told(insert())
    other = record({**one.fields, "version": 9, "value": "x"}, [])
    (found,) = compare({KEY: one}, {KEY: other})

    assert ("value", "version", "evidence") == found.what
    assert [] == compare({KEY: one}, {KEY: told(insert())})
    assert [("missing",)] == [item.what for item in compare({KEY: one}, {})]
    assert [("surplus",)] == [item.what for item in compare({}, {KEY: one})]


def test_memory_without_a_slot_has_none_again() -> None:
    """An empty attribute is no attribute."""
    memory = make_memory(make_fact("Likes tea."))
    empty = {f"slot_{name}": None for name in ("subject", "attribute", "member")}

    assert to_memory(memory.id, ALICE, told(insert(**empty)), None).slot is None
