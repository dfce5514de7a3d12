"""What the session tier keeps, as JSON that says which version it is."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import orjson

from pipelines.formats import SESSION_ENTRY, WORKING_MEMORY, Format
from pipelines.model import Role
from pipelines.ports import ContextMessage, Episode, Summary, WorkingItem

if TYPE_CHECKING:
    from collections.abc import Mapping

_ASKS, _TELLS = b"?", b"."


def write_message(message: ContextMessage) -> bytes:
    """One byte that says whether the message asks for a secret, and the message."""
    kept = {
        "schema_version": SESSION_ENTRY.version,
        "role": message.role.value,
        "content": message.content,
        "name": message.name,
        "created_at": message.created_at.isoformat(),
    }
    return (_ASKS if message.asks_secret else _TELLS) + orjson.dumps(kept)


def read_message(raw: bytes) -> ContextMessage:
    """The message that was written.

    Raises:
        NewerFormat: A newer release wrote it.
    """
    kept = _load(raw[1:])
    return ContextMessage(
        role=Role(kept["role"]),
        content=kept["content"],
        created_at=datetime.fromisoformat(kept["created_at"]),
        name=kept["name"],
        asks_secret=raw[:1] == _ASKS,
    )


def write_episode(episode: Episode, once: str) -> bytes:
    """An episode under the name of its write: two that say the same stay two."""
    kept = {
        "schema_version": SESSION_ENTRY.version,
        "session_id": episode.session_id,
        "content": episode.content,
        "created_at": episode.created_at.isoformat(),
        "id": once,
    }
    return orjson.dumps(kept)


def read_episode(raw: bytes) -> Episode:
    """The episode that was written.

    Raises:
        NewerFormat: A newer release wrote it.
    """
    kept = _load(raw)
    at = datetime.fromisoformat(kept["created_at"])
    return Episode(kept["session_id"], kept["content"], at)


def write_state(state: Any) -> bytes:  # noqa: ANN401 - JSON
    """State of a tool or a session, as it was given."""
    return orjson.dumps({"schema_version": SESSION_ENTRY.version, "state": state})


def read_state(raw: bytes) -> dict[str, Any]:
    """``{"state": …}``: the state itself may be null.

    Raises:
        NewerFormat: A newer release wrote it.
    """
    return {"state": _load(raw)["state"]}


def write_item(item: WorkingItem) -> bytes:
    """Its id, a line feed, and the item."""
    kept = {
        "schema_version": WORKING_MEMORY.version,
        "content": item.content,
        "tokens": item.tokens,
        "created_at": item.created_at.isoformat(),
    }
    return item.id.encode() + b"\n" + orjson.dumps(kept)


def read_item(raw: bytes) -> WorkingItem:
    """The item that was written.

    Raises:
        NewerFormat: A newer release wrote it.
    """
    key, _, said = raw.partition(b"\n")
    kept = _load(said, WORKING_MEMORY)
    at = datetime.fromisoformat(kept["created_at"])
    return WorkingItem(key.decode(), kept["content"], kept["tokens"], at)


def write_summary(summary: Summary) -> bytes:
    """Its id, a line feed, and the summary."""
    kept = {
        "schema_version": WORKING_MEMORY.version,
        "content": summary.content,
        "tokens": summary.tokens,
        "folded": summary.folded,
        "summarised_by": summary.summarised_by,
        "created_at": summary.created_at.isoformat(),
    }
    return summary.id.encode() + b"\n" + orjson.dumps(kept)


def read_summary(raw: bytes) -> Summary:
    """The summary that was written.

    Raises:
        NewerFormat: A newer release wrote it.
    """
    key, _, said = raw.partition(b"\n")
    kept = _load(said, WORKING_MEMORY)
    return Summary(
        id=key.decode(),
        content=kept["content"],
        tokens=kept["tokens"],
        folded=kept["folded"],
        summarised_by=kept["summarised_by"],
        created_at=datetime.fromisoformat(kept["created_at"]),
    )


def _load(raw: bytes, form: Format = SESSION_ENTRY) -> Mapping[str, Any]:
    kept: Mapping[str, Any] = orjson.loads(raw)
    form.check(kept.get("schema_version"))
    return kept
