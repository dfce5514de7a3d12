"""A model's answer becomes drafts, or a problem that the model can be told."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import BadReply
from pipelines.model import Draft, Kind, Message, Owner, ReceiptId, Role, Transcript
from pipelines.stages.grounding.ground import ground
from pipelines.stages.reply import SCHEMA, ReplyFact, parse_reply

SAID = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
TRANSCRIPT = Transcript(
    id=ReceiptId(uuid.uuid5(uuid.NAMESPACE_URL, "transcript")),
    owner=Owner("acme", "alice"),
    session_id="s-1",
    started_at=SAID,
    messages=(Message(0, "m0", Role.USER, "I moved to Rome.", SAID),),
    idempotency_key="key",
    content_hash="hash",
    time_zone="Europe/Berlin",
)
TWO_MESSAGES = replace(
    TRANSCRIPT,
    id=ReceiptId(uuid.uuid5(uuid.NAMESPACE_URL, "other")),
    messages=(
        Message(0, "m0", Role.USER, "I moved to Rome.", SAID),
        Message(1, "m1", Role.USER, "It is warm there.", SAID),
    ),
)
FACT: dict[str, Any] = {
    "statement": "The user lives in Rome.",
    "subject": "user",
    "kind": "profile",
    "quote": "I moved to Rome.",
    "message_ids": [0],
    "importance": 0.7,
    "attribute": "home city",
    "value": "Rome",
    "ends": False,
    "event_date": None,
}


def an_answer(**changes: object) -> str:
    return json.dumps({"facts": [FACT | changes]})


def drafts_of(text: str) -> list[Draft]:
    return parse_reply(text, [TRANSCRIPT])[0]


def problem_of(text: str) -> str:
    with pytest.raises(BadReply) as caught:
        parse_reply(text, [TRANSCRIPT])
    return caught.value.problem


def test_parse_reply_gives_drafts_when_the_answer_is_well_formed() -> None:
    """Every field of the answer arrives in the draft."""
    expected = Draft(
        statement="The user lives in Rome.",
        subject="user",
        kind=Kind.PROFILE,
        quote="I moved to Rome.",
        message_ids=("m0",),
        importance=0.7,
        attribute="home city",
        value="Rome",
    )
    assert [[expected]] == parse_reply(an_answer(), [TRANSCRIPT])


def test_parse_reply_gives_nothing_when_the_model_found_nothing() -> None:
    """An empty list is a result, not an error."""
    assert parse_reply('{"facts": []}', [TRANSCRIPT]) == [[]]


def test_parse_reply_reads_inside_a_fence() -> None:
    """A code fence around the JSON does no harm."""
    assert len(drafts_of(f"```json\n{an_answer()}\n```\n")) == 1


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("2026-02-14", datetime(2026, 2, 13, 23, 0, tzinfo=UTC)),
        ("2026-02", datetime(2026, 1, 31, 23, 0, tzinfo=UTC)),
        ("2025", datetime(2024, 12, 31, 23, 0, tzinfo=UTC)),
        ("2026-02-14T10:00:00", datetime(2026, 2, 14, 9, 0, tzinfo=UTC)),
        ("2026-02-14T10:00:00Z", datetime(2026, 2, 14, 10, 0, tzinfo=UTC)),
        ("2026-02-14T10:00:00-05:00", datetime(2026, 2, 14, 15, 0, tzinfo=UTC)),
        ("", None),
    ],
)
def test_parse_reply_reads_dates_in_the_zone_of_the_transcript(
    stated: str, expected: datetime | None
) -> None:
    """A date without a zone is the user's own."""
    assert expected == drafts_of(an_answer(event_date=stated))[0].event_at


def test_parse_reply_gives_no_event_time_when_the_date_is_the_day_of_the_message() -> None:
    """The message's own time orders better than the midnight before it."""
    assert drafts_of(an_answer(event_date="2026-03-02"))[0].event_at is None


@pytest.mark.parametrize(
    "changes", [{"attribute": None}, {"value": None}, {"value": "  "}, {"attribute": ""}]
)
def test_parse_reply_gives_no_slot_when_half_of_it_is_missing(changes: dict[str, object]) -> None:
    """A slot needs its attribute and its value."""
    draft = drafts_of(an_answer(**changes))[0]
    assert (draft.attribute, draft.value) == (None, None)


def test_parse_reply_gives_the_messages_their_own_ids_again() -> None:
    """The numbers of the request never leave it, also where a model writes them as text."""
    long_id = str(uuid.uuid5(uuid.NAMESPACE_URL, "message"))
    transcript = replace(TRANSCRIPT, messages=(replace(TRANSCRIPT.messages[0], id=long_id),))
    for stated in (0, "0", long_id):
        ((draft,),) = parse_reply(an_answer(message_ids=[stated]), [transcript])
        assert (long_id,) == draft.message_ids


def test_parse_reply_gives_each_transcript_its_own_drafts() -> None:
    """What one answer says of several sessions is sorted by the message that it quotes."""
    answer = json.dumps({"facts": [FACT | {"message_ids": [number]} for number in (2, 0, 1, "m1")]})
    drafts = parse_reply(answer, [TRANSCRIPT, TWO_MESSAGES])
    assert [["m0"], ["m1", "m0", "m1"]] == [[draft.message_ids[0] for draft in of] for of in drafts]


def test_parse_reply_reads_dates_in_the_zone_of_the_transcript_that_is_cited() -> None:
    """Sessions that share an answer may lie in different zones."""
    elsewhere = replace(TWO_MESSAGES, time_zone="Asia/Tokyo")
    answer = an_answer(message_ids=[1], event_date="2026-02-14")
    drafts = parse_reply(answer, [TRANSCRIPT, elsewhere])
    assert datetime(2026, 2, 13, 15, 0, tzinfo=UTC) == drafts[1][0].event_at


@pytest.mark.parametrize("stated", [[0, 1], [0, 2], [0, 7], [7], ["nonsense", 1], [-1], ["²"]])
def test_parse_reply_leaves_no_id_that_another_session_or_nobody_has(stated: list[object]) -> None:
    """A fact is grounded against its own session alone: a foreign message is refused there."""
    answer = an_answer(message_ids=stated)
    drafts = parse_reply(answer, [TRANSCRIPT, TWO_MESSAGES])
    for transcript, found in zip([TRANSCRIPT, TWO_MESSAGES], drafts, strict=True):
        facts, refusals = ground(found, transcript, "test/1")
        assert ([], ["unknown_message"] * len(found)) == (facts, [it.reason for it in refusals])
    assert 1 == sum(map(len, drafts))


@pytest.mark.parametrize("changes", [{"quote": ""}, {"quote": " "}, {"message_ids": []}])
def test_parse_reply_leaves_it_to_grounding_when_a_fact_has_no_evidence(
    changes: dict[str, object],
) -> None:
    """The good facts beside it are worth the call; it is refused and counted alone."""
    answer = json.dumps({"facts": [FACT | changes | {"event_date": "2026-03-01"}, FACT]})

    facts, refusals = ground(drafts_of(answer), TRANSCRIPT, "test/1")

    assert [FACT["statement"]] == [fact.statement for fact in facts]
    assert ["no_evidence"] == [refusal.reason for refusal in refusals]


def test_parse_reply_gives_what_cites_nothing_to_the_first_transcript() -> None:
    """It is counted somewhere, whatever sessions shared the answer."""
    drafts = parse_reply(an_answer(message_ids=[]), [TRANSCRIPT, TWO_MESSAGES])
    assert [[()], []] == [[draft.message_ids for draft in of] for of in drafts]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "hobby"}, "facts.0.kind"),
        ({"statement": " "}, "facts.0.statement"),
        ({"statement": "\x00"}, "facts.0.statement"),
        ({"quote": None}, "facts.0.quote"),
        ({"message_ids": None}, "facts.0.message_ids"),
        ({"message_ids": 0}, "facts.0.message_ids"),
        ({"importance": 8}, "facts.0.importance"),
        ({"event_date": "last Monday"}, "facts.0.event_date"),
        ({"event_date": "0001-01-01"}, "facts.0.event_date"),
    ],
)
def test_parse_reply_names_the_field_when_it_is_wrong(
    changes: dict[str, object], field: str
) -> None:
    """The problem says where."""
    assert problem_of(an_answer(**changes)).startswith(f"{field}: ")


@pytest.mark.parametrize(
    "text", ["", "Sure! Here you are:", "[]", '{"facts": [', '{"answer": []}', "null"]
)
def test_parse_reply_refuses_what_is_no_answer(text: str) -> None:
    """Bad output is never taken for an empty list."""
    assert problem_of(text)


def test_parse_reply_keeps_content_out_of_the_problem() -> None:
    """What may be logged holds nothing that was said."""
    text = an_answer(statement="my-secret-word " * 200, kind="my-secret-word", importance="x")
    assert "my-secret-word" not in problem_of(text)


def test_parse_reply_puts_a_statement_on_one_line() -> None:
    """Line breaks and NUL of a model do not reach the store."""
    draft = drafts_of(an_answer(statement="The user\n lives\x00 in  Rome."))[0]
    assert draft.statement == "The user lives in Rome."


@given(st.text())
def test_parse_reply_finds_a_problem_whatever_text_is_no_json(text: str) -> None:
    """No answer of a model crashes the pipeline or passes for an empty one."""
    assert problem_of(f"{text}!")


@given(st.text(max_size=40).filter(str.strip))
def test_parse_reply_finds_a_problem_whatever_is_no_date(text: str) -> None:
    """No stated date crashes the pipeline."""
    assert problem_of(an_answer(event_date=f"{text}!")).startswith("facts.0.event_date: ")


def test_schema_asks_for_exactly_the_fields_that_are_read() -> None:
    """What the model is told and what is read do not drift apart."""
    properties: Any = SCHEMA["properties"]
    item = properties["facts"]["items"]
    assert set(ReplyFact.model_fields) == set(item["properties"]) == set(item["required"])
    jsonschema.validate({"facts": [FACT]}, SCHEMA)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"facts": [FACT | {"extra": 1}]}, SCHEMA)
