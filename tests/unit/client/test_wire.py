"""What wire format v1 lets through, and how a repeated push is recognised."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import jsonschema
import pytest

from memstill_client.wire import (
    NAMESPACE,
    TranscriptBody,
    content_hash,
    parse_transcript,
    receipt_id,
    to_json,
)
from pipelines import model
from tests.unit.client.examples import NOW, message, transcript


def test_parse_fills_in_every_default_when_only_the_required_is_pushed() -> None:
    """Position, time of acceptance, UTC, no metadata, and the content hash as the key."""
    parsed = parse_transcript(transcript(), now=NOW)
    assert [item.id for item in parsed.messages] == ["0"]
    assert (parsed.started_at, parsed.messages[0].created_at) == (NOW, NOW)
    assert not parsed.is_dated
    assert (parsed.time_zone, parsed.metadata) == ("UTC", {})
    assert (parsed.tenant_id, parsed.agent_id) == (None, None)
    assert content_hash(parsed) == parsed.idempotency_key


def test_parse_starts_at_the_earliest_message_when_no_start_is_pushed() -> None:
    """Undated messages of a dated transcript are of its start."""
    messages = [
        {"role": "user", "content": "b", "created_at": "2026-03-02T10:00:00+01:00"},
        {"role": "user", "content": "a", "created_at": "2026-03-02T08:30:00Z"},
        {"role": "user", "content": "c"},
    ]
    parsed = parse_transcript(transcript(messages=messages), now=NOW)
    start = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
    assert start == parsed.started_at
    assert [start + timedelta(minutes=30), start, start] == [
        item.created_at for item in parsed.messages
    ]
    assert all(item.created_at.tzinfo is UTC for item in parsed.messages)
    assert parsed.is_dated


def test_parse_takes_an_empty_turn_when_another_says_something() -> None:
    """An assistant turn that only calls a tool has empty content and says the call."""
    messages = [
        {"role": "user", "content": "Find me a train."},
        {"role": "assistant", "content": "", "tool_call": {"name": "search", "q": "train"}},
    ]
    parsed = parse_transcript(transcript(messages=messages), now=NOW)
    assert parsed.messages[1].text == '{"name": "search", "q": "train"}'
    assert parsed.messages[0].text == "Find me a train."


def test_parse_takes_null_for_absence_when_a_field_is_optional() -> None:
    """Languages that write null for nothing push the same transcript."""
    absent = parse_transcript(message(), now=NOW)
    optional = {"id", "name", "created_at", "tool_call"}
    nulls = message(**dict.fromkeys(optional)) | dict.fromkeys(
        ["tenant_id", "agent_id", "idempotency_key", "started_at", "time_zone", "metadata"]
    )
    assert absent == parse_transcript(json.dumps(nulls), now=NOW)


def test_parse_takes_aware_datetimes_when_an_object_is_pushed() -> None:
    """In Python a time may be a datetime; it counts as its ISO text."""
    time = datetime(2026, 3, 2, 9, tzinfo=timezone(timedelta(hours=1)))
    as_value = parse_transcript(message(created_at=time), now=NOW)
    as_text = parse_transcript(message(created_at=time.isoformat()), now=NOW)
    assert as_text == as_value


def test_parse_leaves_what_was_pushed_alone_when_it_fills_in() -> None:
    """The caller's object is neither changed nor shared."""
    pushed = transcript(metadata={"list": [1]})
    before = json.dumps(pushed)
    parsed = parse_transcript(pushed, now=NOW)
    pushed["metadata"]["list"].append(2)
    assert parsed.metadata == {"list": [1]}
    pushed["metadata"]["list"].pop()
    assert before == json.dumps(pushed)


def test_parse_takes_ten_megabytes_when_they_are_valid() -> None:
    """The size that the product promises passes."""
    turns = [{"role": "user", "content": "x" * 10_000} for _ in range(1_040)]
    raw = json.dumps(transcript(messages=turns))
    assert 10_000_000 < len(raw) <= 10 * 1024 * 1024
    assert len(parse_transcript(raw, now=NOW).messages) == 1_040


# ---- how repetition is recognised -------------------------------------------------------------


def test_hash_is_the_same_when_a_push_is_repeated_later() -> None:
    """The time of acceptance does not enter, neither here nor after being sent on."""
    first = parse_transcript(transcript(), now=NOW)
    later = parse_transcript(transcript(), now=NOW + timedelta(days=3))
    read = parse_transcript(to_json(first), now=NOW + timedelta(days=3))
    assert first.idempotency_key == later.idempotency_key
    assert content_hash(first) == content_hash(read)
    assert not read.is_dated


def test_hash_is_the_same_when_defaults_are_spelled_out() -> None:
    """Position, start and UTC mean the same written or left out; offsets too."""
    short = message(created_at="2026-03-02T09:00:00+01:00")
    full = message(id="0", created_at="2026-03-02T08:00:00Z") | {
        "started_at": "2026-03-02T08:00:00.000Z",
        "time_zone": "UTC",
        "metadata": {},
    }
    assert content_hash(parse_transcript(short, now=NOW)) == content_hash(
        parse_transcript(full, now=NOW)
    )


@pytest.mark.parametrize(
    "other",
    [
        transcript(session_id="s-43"),
        transcript(time_zone="Europe/Berlin"),
        transcript(started_at="2026-03-02T09:00:00Z"),
        message(role="assistant"),
        message(content="I live in Basel."),
        message(name="Alice"),
        message(id="m1"),
        message(created_at="2026-03-02T09:00:00Z"),
        message(tool_call={}),
        transcript(messages=message()["messages"] * 2),
    ],
)
def test_hash_differs_when_anything_said_differs(other: dict[str, Any]) -> None:
    """Session, zone, start, role, words, speaker, id, time and call are what is said."""
    assert content_hash(parse_transcript(transcript(), now=NOW)) != content_hash(
        parse_transcript(other, now=NOW)
    )


def test_hash_is_the_published_one_when_the_release_changes() -> None:
    """The form is part of version 1: changing it would make every old push look new."""
    pushed = {
        "session_id": "s-42",
        "user_id": "alice",
        "schema_version": 1,
        "time_zone": "Europe/Berlin",
        "messages": [
            {"role": "user", "content": "Ich wohne in Zürich 🏔", "name": "Alice"},
            {"role": "tool", "content": "", "created_at": "2026-03-02T09:00:05.5+01:00"},
        ],
    }
    assert content_hash(parse_transcript(pushed, now=NOW)) == (
        "b3b1431ee58310183c1303c62a70771bc666829e55bd1b1a15de5d9da76fd0e6"
    )


def test_receipt_is_the_model_s_when_the_client_computes_it() -> None:
    """Client and pipeline derive one receipt from tenant, user and key."""
    assert model.NAMESPACE == NAMESPACE
    expected = model.receipt_id(model.Owner("acme", "alice"), "k-1")
    assert expected == receipt_id("acme", "alice", "k-1")
    assert receipt_id("acme", "alice", "k-1") == uuid.UUID("63994a9b-ad6b-5c2b-ac6e-cbcf9ad7415f")


def test_schema_accepts_the_example_when_read_by_another_validator() -> None:
    """The JSON Schema that the API publishes says what the parser does."""
    schema = TranscriptBody.model_json_schema()
    jsonschema.validate(transcript(), schema)
    for pushed in (transcript(user_id=" "), transcript(colour="red"), message(role="bot")):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(pushed, schema)
