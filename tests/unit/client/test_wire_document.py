"""What docs/wire.md tells people of other languages is what the parser does."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from memstill_client.wire import (
    NAMESPACE,
    STREAM_FIELD,
    MessageBody,
    TranscriptBody,
    parse_transcript,
    receipt_id,
    stream_key,
)
from tests.unit.client.examples import NOW

TEXT = (Path(__file__).parents[3] / "docs" / "wire.md").read_text(encoding="utf-8")
JSON_BLOCKS = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)]
SHELL_BLOCKS = [shlex.split(block) for block in re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)]


@pytest.mark.parametrize("pushed", JSON_BLOCKS[:2], ids=["full", "least"])
def test_document_s_transcripts_are_accepted_when_pushed(pushed: dict[str, object]) -> None:
    """Both examples, copied from the page, pass."""
    assert parse_transcript(pushed, now=NOW).user_id == "alice"


def test_document_names_every_field_when_the_format_has_it() -> None:
    """The tables hold the fields of the format and no other."""
    fields = set(re.findall(r"^\| `(\w+)` \| (?:required|optional)", TEXT, re.MULTILINE))
    assert fields == {*TranscriptBody.model_fields, *MessageBody.model_fields}
    required = set(re.findall(r"^\| `(\w+)` \| required", TEXT, re.MULTILINE))
    models = (TranscriptBody, MessageBody)
    assert required == {
        name
        for model in models
        for name, field in model.model_fields.items()
        if field.is_required()
    }


def test_document_s_full_example_uses_every_field() -> None:
    """Nothing of the format is left to guessing its shape."""
    full = JSON_BLOCKS[0]
    assert set(full) == set(TranscriptBody.model_fields)
    used = {name for message in full["messages"] for name in message}
    assert used == set(MessageBody.model_fields)


def test_document_s_commands_push_to_the_receipt_it_shows() -> None:
    """XADD and curl push the same transcript, whose receipt is the one in the text."""
    xadd, curl = SHELL_BLOCKS
    assert xadd[:5] == ["redis-cli", "XADD", stream_key("memstill"), "*", STREAM_FIELD]
    assert curl[1] == "-sS"
    posted = parse_transcript(curl[-1], now=NOW)
    queued = parse_transcript(xadd[-1], now=NOW)
    receipts = {
        str(receipt_id("acme", pushed.user_id, pushed.idempotency_key))
        for pushed in (posted, queued)
    }
    assert receipts == {JSON_BLOCKS[2]["receipt"]}
    assert TEXT.count(JSON_BLOCKS[2]["receipt"]) == 2
    assert str(NAMESPACE) in TEXT
