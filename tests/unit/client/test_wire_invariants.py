"""What holds of wire format v1 for every transcript, and for everything that is none."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memstill_client.errors import InvalidTranscript
from memstill_client.wire import content_hash, parse_transcript, to_json
from tests.unit.client.examples import NOW

if TYPE_CHECKING:
    from random import Random

plain_text = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
ids = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=200)
times = st.datetimes(
    min_value=datetime(1970, 1, 2),  # noqa: DTZ001 - hypothesis adds the zone
    max_value=datetime(2026, 11, 20),  # noqa: DTZ001 - hypothesis adds the zone
    timezones=st.integers(-14, 14).map(lambda hours: timezone(timedelta(hours=hours))),
)
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | plain_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(plain_text, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(plain_text, json_values, max_size=3)
messages = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system", "tool"]),
        "content": plain_text.map(lambda text: f"{text}."),
    },
    optional={
        "name": st.none() | ids,
        "created_at": st.none() | times.map(datetime.isoformat),
        "tool_call": st.none() | objects,
    },
)
transcripts = st.fixed_dictionaries(
    {
        "schema_version": st.just(1),
        "user_id": ids,
        "session_id": ids,
        "messages": st.lists(messages, min_size=1, max_size=4),
    },
    optional={
        "tenant_id": st.none() | ids,
        "agent_id": st.none() | ids,
        "idempotency_key": st.none() | ids,
        "started_at": st.none() | times.map(datetime.isoformat),
        "time_zone": st.sampled_from([None, "UTC", "Europe/Berlin", "America/New_York"]),
        "metadata": st.none() | objects,
    },
)


@given(transcripts)
def test_parse_reads_back_what_it_writes_when_any_valid_transcript_comes(
    pushed: dict[str, Any],
) -> None:
    """Being sent on changes nothing: fields, times, defaults, hash and key stay."""
    parsed = parse_transcript(pushed, now=NOW)
    sent = to_json(parsed)
    assert b"\n" not in sent
    read = parse_transcript(sent, now=NOW)
    assert parsed == read
    assert sent == to_json(read)
    assert content_hash(parsed) == content_hash(read)


@given(transcripts, st.randoms(use_true_random=False))
def test_hash_is_the_same_when_keys_are_shuffled(pushed: dict[str, Any], random: Random) -> None:
    """The order of keys says nothing, at any depth, as object or as text."""
    mixed = shuffled(pushed, random)
    expected = parse_transcript(pushed, now=NOW)
    assert expected == parse_transcript(mixed, now=NOW)
    found = parse_transcript(json.dumps(mixed), now=NOW)
    assert content_hash(expected) == content_hash(found)


def shuffled(value: dict[str, Any], random: Random) -> dict[str, Any]:
    """The object with its keys, and those of the objects in it, in another order."""
    keys = list(value)
    random.shuffle(keys)
    return {key: shuffled_inside(value[key], random) for key in keys}


def shuffled_inside(value: object, random: Random) -> object:
    """The same for whatever stands in an object."""
    if isinstance(value, list):
        return [shuffled_inside(item, random) for item in value]
    return shuffled(value, random) if isinstance(value, dict) else value


@given(st.binary() | st.text() | json_values | st.dictionaries(st.text(), json_values))
def test_parse_refuses_instead_of_crashing_when_anything_comes(raw: bytes | str) -> None:
    """Whatever arrives, the answer is a transcript or a refusal."""
    with pytest.raises(InvalidTranscript):
        parse_transcript(raw, now=NOW)


@given(
    transcripts,
    st.sampled_from(["user_id", "session_id", "started_at", "metadata", "messages", "new"]),
    json_values,
)
def test_parse_refuses_or_keeps_when_one_field_is_replaced(
    pushed: dict[str, Any], name: str, value: object
) -> None:
    """A field with a stray value is refused by its own name or read as it was meant."""
    changed = pushed | {name: value}
    try:
        parsed = parse_transcript(changed, now=NOW)
    except InvalidTranscript as error:
        refused_at = error.field
    else:
        refused_at = name
        assert parsed == parse_transcript(to_json(parsed), now=NOW)
    assert refused_at.startswith(name)
