"""Cleaning: every place of a pushed transcript or payload where something can hide."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from config.policy import Handling, PersonalDataPolicy, PersonalKind
from pipelines.model import Role, Transcript
from pipelines.stages.redaction.clean import (
    clean_fields,
    clean_payload,
    clean_transcript,
    find_secret_id,
)
from tests.builders import make_transcript

KEEP = PersonalDataPolicy()
MASK = PersonalDataPolicy(tenants={"acme": dict.fromkeys(PersonalKind, Handling.MASK)})
GITHUB = "ghp_" + "a1B2" * 9


def clean(
    *contents: str, policy: PersonalDataPolicy = KEEP, metadata: dict[str, Any] | None = None
) -> Transcript:
    transcript = replace(make_transcript(*contents), metadata=metadata or {})
    return clean_transcript(transcript, policy)


def said(transcript: Transcript) -> list[str]:
    return [message.content for message in transcript.messages]


def test_clean_takes_a_secret_out_wherever_it_is_said_again() -> None:
    """The assistant that repeats a password gives it away no more than the user did."""
    cleaned = clean("hunter2 fails", "my password is hunter2", "Noted: hunter2.")

    assert [
        "[redacted:password] fails",
        "my password is [redacted:password]",
        "Noted: [redacted:password].",
    ] == said(cleaned)
    assert {"password": 3} == cleaned.redactions


def test_clean_knows_the_answer_to_a_question_in_the_message_before() -> None:
    """A question for a PIN makes digits a PIN, one message later and not two."""
    cleaned = clean("What is your PIN?", "4921", "4922")

    assert ["What is your PIN?", "[redacted:pin]", "4922"] == said(cleaned)


def test_clean_redacts_names_ids_agent_and_key_of_a_transcript() -> None:
    """What a push calls its messages, agent and itself can be a key, and is none afterwards."""
    pushed = make_transcript("hello", "world")
    messages = tuple(
        replace(message, id=f"{GITHUB}{index}", name=f"tool {GITHUB}", role=Role.TOOL)
        for index, message in enumerate(pushed.messages)
    )

    cleaned = clean_transcript(
        replace(pushed, messages=messages, agent_id=GITHUB, idempotency_key=GITHUB), KEEP
    )

    assert "ghp_" not in repr(cleaned)
    assert 2 == len({message.id for message in cleaned.messages})
    assert pushed.id == cleaned.id


def test_clean_leaves_ids_alone_that_hold_no_key() -> None:
    """Evidence cites message ids: numbers and words stay what the agent calls them."""
    pushed = make_transcript("hello")
    messages = (replace(pushed.messages[0], id="4111111111111111"),)

    cleaned = clean_transcript(replace(pushed, messages=messages), MASK)

    assert "4111111111111111" == cleaned.messages[0].id
    assert {} == cleaned.redactions


def test_clean_reads_metadata_by_its_names() -> None:
    """Values, keys, numbers and pairs of name and value: nothing of a secret stays."""
    cleaned = clean(
        "hello",
        metadata={
            "password": "correct horse",
            "pin": 4921,
            "card": 4111111111111111,
            "env": [{"name": "DB_PASSWORD", "value": "zebra"}],
            f"x-{GITHUB}": 1,
            "nested": {"deep": [f"use {GITHUB}"]},
            "max_tokens": 4096,
            "note": None,
            "is_test": True,
        },
    )

    assert {
        "password": "[redacted:password]",
        "pin": "[redacted:pin]",
        "card": "[redacted:card-number]",
        "env": [{"name": "DB_PASSWORD", "value": "[redacted:password]"}],
        f"x-{GITHUB}".replace(GITHUB, "[redacted:github-token]"): 1,
        "nested": {"deep": ["use [redacted:github-token]"]},
        "max_tokens": 4096,
        "note": None,
        "is_test": True,
    } == cleaned.metadata


def test_clean_loses_no_metadata_when_two_keys_become_the_same() -> None:
    """Two secrets as keys are two entries afterwards."""
    cleaned = clean("hello", metadata={GITHUB: 1, GITHUB + "x": 2})

    assert [1, 2] == list(cleaned.metadata.values())


def test_clean_masks_personal_data_by_the_tenant_s_policy() -> None:
    """One value has one stand-in in messages, names and metadata; counted beside the secrets."""
    pushed = make_transcript("pw: hunter2, mail a@x.org", "A@x.org it is")
    messages = (replace(pushed.messages[0], name="a@x.org"), *pushed.messages[1:])
    pushed = replace(pushed, messages=messages, metadata={"to": "b@x.org"})

    cleaned = clean_transcript(pushed, MASK)

    assert ["pw: [redacted:password], mail [email-1]", "[email-1] it is"] == said(cleaned)
    assert "[email-1]" == cleaned.messages[0].name
    assert {"to": "[email-2]"} == cleaned.metadata
    assert {"password": 1, "email": 4} == cleaned.redactions


def test_clean_gives_fields_no_number_that_would_mean_another_value_beside_them() -> None:
    """Fields are changed one after another: two values with one stand-in would look equal."""
    changes: list[dict[str, Any]] = [
        {"email": "ana@example.com"},
        {"work": {"email": "bo@example.org"}},
    ]

    cleaned = [clean_fields(change, "acme", MASK) for change in changes]

    assert [{"email": "[email]"}, {"work": {"email": "[email]"}}] == cleaned
    assert changes == [clean_fields(change, "other", MASK) for change in changes]


def test_clean_keeps_personal_data_of_a_tenant_without_a_policy() -> None:
    """Another tenant's policy is not this one's."""
    other = PersonalDataPolicy(tenants={"globex": dict.fromkeys(PersonalKind, Handling.MASK)})

    cleaned = clean("mail a@x.org", policy=other)

    assert (["mail a@x.org"], {}) == (said(cleaned), cleaned.redactions)


def test_clean_is_the_same_when_it_is_done_again() -> None:
    """A replayed transcript keeps its stand-ins."""
    once = clean("pw: hunter2, a@x.org and b@x.org", policy=MASK)

    again = clean_transcript(once, MASK)

    assert (said(once), {}) == (said(again), again.redactions)


PAYLOAD = {
    "schema_version": 9,
    "user_id": "alice@x.org",
    "messages": [
        {"role": "user", "content": 'the pw is "hunter2", mail me at b@x.org'},
        {"role": "assistant", "content": "What is the PIN?"},
        {"role": "user", "content": "4921"},
        {"role": "assistant", "content": "hunter2 and 4921, noted"},
    ],
    "password": "correct horse",
    "metadata": {"id": "4111 1111 1111 1111"},
}


def test_clean_payload_reads_a_refused_transcript_like_an_accepted_one() -> None:
    """A dead letter keeps its payload without secrets and personal data, its owner readable."""
    kept = clean_payload(json.dumps(PAYLOAD), "schema_version: is unknown", "acme", MASK)

    cleaned = json.loads(kept.payload)
    assert [
        'the pw is "[redacted:password]", mail me at [email-1]',
        "What is the PIN?",
        "[redacted:pin]",
        "[redacted:password] and 4921, noted",
    ] == [message["content"] for message in cleaned["messages"]]
    assert "[redacted:password]" == cleaned["password"]
    assert {"id": "[redacted:card-number]"} == cleaned["metadata"]
    assert ("alice@x.org", 9) == (cleaned["user_id"], cleaned["schema_version"])
    assert "schema_version: is unknown" == kept.reason


@pytest.mark.parametrize(
    ("payload", "secret"),
    [
        ('{"content": "postgres:\\/\\/u:Tr0ub4dor@h', "Tr0ub4dor"),
        ('{"content": "a\\npw: hunter2\\nb", broken', "hunter2"),
        ('{"content": "\\u0070assword: zebra9"', "zebra9"),
        ('{"password": "hun ter2", ', "ter2"),
        ("b'my password is hunter2'", "hunter2"),
        ('{"a": "\\ud800 pw: hunter2"}', "hunter2"),
        ("[" * 5_000 + '"pw: hunter2"', "hunter2"),
        ("[" * 5_000 + '"pw: hunter2"' + "]" * 5_000, "hunter2"),
    ],
)
def test_clean_payload_takes_secrets_out_of_what_is_no_transcript(
    payload: str, secret: str
) -> None:
    """Broken, escaped, endlessly nested or no JSON at all: it is kept without them."""
    kept = clean_payload(payload, "transcript: is not valid JSON", "acme", KEEP)

    assert secret not in kept.payload
    assert "[redacted:" in kept.payload
    kept.payload.encode()


def test_clean_payload_takes_a_secret_out_of_the_reason() -> None:
    """An unknown field is refused by its name, and a key can be a name."""
    reason = f"{GITHUB}: is not a field of version 1"

    kept = clean_payload(json.dumps({GITHUB: 1}), reason, "acme", KEEP)

    assert "[redacted:github-token]: is not a field of version 1" == kept.reason


def test_clean_payload_changes_nothing_when_there_is_nothing_to_hide() -> None:
    """A dead letter is what was pushed, to the last blank."""
    payload = '{"schema_version":9,   "user_id": "alice"}'

    assert payload == clean_payload(payload, "schema_version: is unknown", "acme", MASK).payload


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ({"tenant_id": "acme", "user_id": GITHUB}, "user_id"),
        ({"user_id": "alice", "session_id": "https://u:pw1234@host/x"}, "session_id"),
        ({"user_id": "4111111111111111", "session_id": "pin-1234", "agent_id": None}, None),
    ],
)
def test_find_secret_id_names_the_id_that_holds_a_secret(
    ids: dict[str, str | None], expected: str | None
) -> None:
    """A key as an id is known by its form; a number never is."""
    assert expected == find_secret_id(**ids)
