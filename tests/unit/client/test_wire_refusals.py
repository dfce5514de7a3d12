"""What wire format v1 refuses: by field, with a remedy, repeating nothing of what was said."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest

from memstill_client.errors import InvalidTranscript
from memstill_client.wire import parse_transcript, to_json
from tests.unit.client.examples import NOW, message, transcript

SECRET = "the-secret-of-alice"

REFUSED = [
    (transcript(schema_version=...), "schema_version", "send 1"),
    (transcript(schema_version=2), "schema_version", "this release reads 1"),
    (transcript(schema_version="1"), "schema_version", "this release reads 1"),
    (transcript(user_id=...), "user_id", "is required"),
    (transcript(session_id=...), "session_id", "is required"),
    (transcript(messages=...), "messages", "is required"),
    (transcript(user_id=""), "user_id", "must not be empty"),
    (transcript(session_id=""), "session_id", "must not be empty"),
    (transcript(tenant_id=""), "tenant_id", "must not be empty"),
    (transcript(user_id=7), "user_id", "must be a string"),
    (transcript(user_id="x" * 201), "user_id", "at most 200"),
    (transcript(user_id="   "), "user_id", "visible character"),
    (transcript(session_id="a\nb"), "session_id", "no control characters"),
    (transcript(tenant_id="a\x1fb"), "tenant_id", "no control characters"),
    (transcript(agent_id="a\x85b"), "agent_id", "no control characters"),
    (transcript(idempotency_key="k" * 201), "idempotency_key", "at most 200"),
    (transcript(user_id="a\ud83d"), "user_id", "lone surrogate"),
    (transcript(messages=[]), "messages", "at least one message"),
    (transcript(messages="hello"), "messages", "must be a list"),
    (transcript(messages=["hello"]), "messages[0]", "must be an object"),
    (message(role=...), "messages[0].role", "user, assistant, system, tool"),
    (message(role="bot"), "messages[0].role", "user, assistant, system, tool"),
    (message(content=...), "messages[0].content", 'send ""'),
    (message(content=None), "messages[0].content", "must be a string"),
    (message(content=[{"type": "text"}]), "messages[0].content", "join parts into one text"),
    (message(content=""), "messages", "not blank"),
    (message(content=" \n\t"), "messages", "not blank"),
    (message(content="a\x00b"), "messages[0].content", "NUL"),
    (message(content="a\ud83d"), "messages[0].content", "lone surrogate"),
    (message(name="Al\tice"), "messages[0].name", "no control characters"),
    (message(created_at="2026-03-02T09:00:00"), "messages[0].created_at", "no UTC offset"),
    (message(created_at="2026-03-02"), "messages[0].created_at", "no UTC offset"),
    (message(created_at=1772438400), "messages[0].created_at", "must be a string"),
    (message(created_at="1772438400"), "messages[0].created_at", "must be a string"),
    (message(created_at="yesterday"), "messages[0].created_at", "must be a string"),
    (message(created_at="2026-13-02T09:00:00Z"), "messages[0].created_at", "is not a time"),
    (message(created_at="1969-12-31T23:59:59Z"), "messages[0].created_at", "before 1970"),
    (message(created_at="2026-11-21T12:00:01Z"), "messages[0].created_at", "a day ahead"),
    (message(created_at="0001-01-01T00:00:00+14:00"), "messages[0].created_at", "no calendar"),
    (message(created_at="9999-12-31T23:59:59-14:00"), "messages[0].created_at", "no calendar"),
    (transcript(started_at="2026-03-02T09:00:00"), "started_at", "no UTC offset"),
    (transcript(started_at="1969-01-01T00:00:00Z"), "started_at", "before 1970"),
    (transcript(time_zone="Mars/Olympus"), "time_zone", "Europe/Berlin"),
    (transcript(time_zone="../../etc/passwd"), "time_zone", "Europe/Berlin"),
    (transcript(time_zone="Europe"), "time_zone", "Europe/Berlin"),
    (transcript(time_zone="posix/Europe/Berlin"), "time_zone", "Europe/Berlin"),
    (transcript(metadata=[]), "metadata", "must be an object"),
    (transcript(metadata={"a": ["\x00"]}), "metadata", "NUL"),
    (transcript(metadata={"a\x00": 1}), "metadata", "NUL"),
    (transcript(metadata={"a": "\ud83d"}), "metadata", "lone surrogate"),
    (transcript(metadata={"a": float("nan")}), "metadata", "not finite"),
    (transcript(metadata={"a": 2**64}), "metadata", "64 bits"),
    (message(tool_call="search"), "messages[0].tool_call", "must be an object"),
    (message(tool_call={"q": "\x00"}), "messages[0].tool_call", "NUL"),
    (transcript(colour="red"), "colour", "user_id, session_id, messages"),
    (message(colour="red"), "messages[0].colour", "role, content, id"),
    (message(tool_calls=[]), "messages[0].tool_calls", "into tool_call"),
    (transcript(**{"a\n" + "b" * 200: 1}), ascii("a\n" + "b" * 58), "not a field"),
]


@pytest.mark.parametrize("form", ["object", "text"])
@pytest.mark.parametrize(
    ("pushed", "field", "reason"), REFUSED, ids=[f"{field}-{why}" for _, field, why in REFUSED]
)
def test_parse_refuses_with_field_and_remedy_when_a_rule_is_broken(
    pushed: dict[str, Any], field: str, reason: str, form: str
) -> None:
    """Every rule names the field it is about, whether an object or its JSON text is pushed."""
    raw: Any = pushed if form == "object" else json.dumps(pushed)
    with pytest.raises(InvalidTranscript) as caught:
        parse_transcript(raw, now=NOW)
    assert field == caught.value.field
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "not valid JSON"),
        (b'{"schema_version": 1', "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"\xef\xbb\xbf{}", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        (b"null", "must be an object"),
        (b"[]", "must be an object"),
        (None, "must be a JSON object"),
        ([], "must be a JSON object"),
    ],
)
def test_parse_refuses_the_whole_when_it_is_no_object(raw: bytes | str, reason: str) -> None:
    """What is not one JSON object has no field to name, so the whole is named."""
    with pytest.raises(InvalidTranscript) as caught:
        parse_transcript(raw, now=NOW)
    assert caught.value.field == "transcript"
    assert reason in caught.value.reason


@pytest.mark.parametrize("form", ["object", "text", "bytes"])
def test_parse_refuses_when_larger_than_the_limit(form: str) -> None:
    """One byte over the limit is refused with both numbers; exactly the limit passes."""
    pushed = transcript(idempotency_key="k", time_zone="UTC", metadata={"pad": ""})
    size = len(to_json(parse_transcript(pushed, now=NOW)))
    pushed = json.loads(to_json(parse_transcript(pushed, now=NOW)))
    pushed["metadata"] = {"pad": "é" * 500}
    text = json.dumps(pushed, ensure_ascii=False, separators=(",", ":"))
    limit = len(text.encode())
    raw: Any = {"object": pushed, "text": text, "bytes": text.encode()}[form]

    assert size < limit
    assert parse_transcript(raw, now=NOW, max_bytes=limit).user_id == "alice"
    with pytest.raises(InvalidTranscript) as caught:
        parse_transcript(raw, now=NOW, max_bytes=limit - 1)
    assert caught.value.field == "transcript"
    assert f"{limit:,}" in caught.value.reason


def test_parse_refuses_when_an_id_is_used_twice() -> None:
    """The second message is named, and the first is pointed at."""
    twice = [{"role": "user", "content": "a", "id": "m"}, {"role": "user", "content": "b"}] * 2
    with pytest.raises(InvalidTranscript) as caught:
        parse_transcript(transcript(messages=twice), now=NOW)
    assert caught.value.field == "messages[2].id"
    assert "messages[0]" in caught.value.reason


def test_parse_refuses_when_a_given_id_is_anothers_position() -> None:
    """A message without id takes its position, which must not be taken already."""
    messages = [{"role": "user", "content": "a", "id": "1"}, {"role": "user", "content": "b"}]
    with pytest.raises(InvalidTranscript) as caught:
        parse_transcript(transcript(messages=messages), now=NOW)
    assert caught.value.field == "messages[1].id"
    assert "send an id" in caught.value.reason


def test_parse_refuses_when_metadata_is_a_loop() -> None:
    """An object that holds itself ends as a refusal, not as a crash."""
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(InvalidTranscript) as caught:
        parse_transcript(transcript(metadata=loop), now=NOW)
    assert caught.value.field == "metadata"
    assert "64 levels" in caught.value.reason


@pytest.mark.parametrize(
    "pushed",
    [
        message(content=f"{SECRET}\x00"),
        message(content=SECRET, role=SECRET),
        message(content=SECRET, created_at=SECRET),
        message(content=[SECRET]),
        transcript(user_id=f"{SECRET}\n"),
        transcript(time_zone=SECRET),
        transcript(metadata={SECRET: f"{SECRET}\x00"}),
        message(tool_call={SECRET: f"{SECRET}\x00"}),
    ],
)
def test_refusal_does_not_repeat_what_was_pushed(pushed: dict[str, Any]) -> None:
    """Neither the message nor the traceback of a refusal quotes a value of the transcript."""
    for raw in (pushed, json.dumps(pushed)):
        with pytest.raises(InvalidTranscript) as caught:
            parse_transcript(raw, now=NOW)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
