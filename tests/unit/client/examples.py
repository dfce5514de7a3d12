"""Small valid transcripts to be broken in one place each."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def transcript(**changes: object) -> dict[str, Any]:
    """A small valid transcript; a change of ``...`` leaves the field out."""
    whole = {
        "schema_version": 1,
        "user_id": "alice",
        "session_id": "s-42",
        "messages": [{"role": "user", "content": "I live in Bern."}],
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def message(**changes: object) -> dict[str, Any]:
    """A transcript of one message; a change of ``...`` leaves the message's field out."""
    whole = {"role": "user", "content": "I live in Bern.", **changes}
    return transcript(messages=[{name: value for name, value in whole.items() if value is not ...}])
