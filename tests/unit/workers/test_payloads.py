"""What is pushed becomes a value of the model."""

from __future__ import annotations

import pytest

from memstill_client.errors import InvalidTranscript
from memstill_client.wire import parse_transcript
from tests.builders import START
from workers.payloads import to_transcript

GITHUB = "ghp_" + "a1B2" * 9


@pytest.mark.parametrize("field", ["tenant_id", "user_id", "session_id"])
def test_transcript_is_refused_when_an_id_that_must_stay_holds_a_key(field: str) -> None:
    """Such an id would be stored in every row; the refusal names the field, not the key."""
    body = {
        "schema_version": 1,
        "user_id": "alice",
        "session_id": "s1",
        "messages": [{"role": "user", "content": "hi"}],
        field: GITHUB,
    }

    with pytest.raises(InvalidTranscript, match=field) as refused:
        to_transcript(parse_transcript(body, now=START), default_tenant="default")

    assert GITHUB not in str(refused.value)
