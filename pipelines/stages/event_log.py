"""The event log, read from its beginning: what it says that is known of a user.

A plan's event holds the whole memory as it was afterwards; what changes a memory beside a plan
holds only what it changed. Each memory's events stand in the order in which they were committed,
because whoever changes one has locked it before; those of different memories need not, and the
fold does not depend on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np

from pipelines.model import (
    Evidence,
    Kind,
    Memory,
    MemoryId,
    MemoryState,
    ReceiptId,
    Role,
    Scope,
    Slot,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from pipelines.model import Owner, Vector

# After one of these the memory is not there any more.
GONE = frozenset({"memory_purged", "memory_erased"})
# All that the log says of a memory, as the columns of its row are called. Whose it is stands
# beside an event; its vector and the key of its statement follow from the statement.
FIELDS = (
    "scope",
    "session_id",
    "statement",
    "subject",
    "kind",
    "importance",
    "slot_subject",
    "slot_attribute",
    "slot_member",
    "value",
    "ends",
    "state",
    "valid_from",
    "valid_to",
    "confirmed_at",
    "superseded_by",
    "version",
    "distilled_by",
    "users",
    "pinned",
    "evicted_at",
)
CITED = (
    "receipt",
    "message_index",
    "quote",
    "session_id",
    "message_id",
    "role",
    "speaker",
    "said_at",
    "event_at",
)
_TIMES = frozenset({"valid_from", "valid_to", "confirmed_at", "evicted_at", "said_at", "event_at"})
_SLOT = ("subject", "attribute", "member")

Place = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Entry:
    """One event of a memory."""

    memory_id: MemoryId
    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A memory as it can be written down in JSON; equal to another one if it says the same.

    Attributes:
        fields: By the names of ``FIELDS``; times as text, in UTC.
        evidence: By receipt, position of the message, and quote.
    """

    fields: Mapping[str, Any]
    evidence: Mapping[Place, Mapping[str, Any]] = field(default_factory=dict)


Known = Mapping[MemoryId, Recorded]
NOTHING: Known = MappingProxyType({})


def fold(entries: Iterable[Entry], start: Known = NOTHING) -> dict[MemoryId, Recorded]:
    """What is known after these events.

    Args:
        entries: In the order of their numbers.
        start: What was known before the first of them.
    """
    known = dict(start)
    for entry in entries:
        if entry.name in GONE:
            known.pop(entry.memory_id, None)
            continue
        after = _apply(known.get(entry.memory_id), entry.body)
        if after is not None:
            known[entry.memory_id] = after
    return known


def record(fields: Mapping[str, Any], cited: Iterable[Mapping[str, Any]]) -> Recorded:
    """A memory of these fields, as JSON has them, on this evidence."""
    return Recorded(_select(fields, FIELDS), _add({}, cited))


def _apply(before: Recorded | None, body: Mapping[str, Any]) -> Recorded | None:
    changed = body["memory"]
    if before is None and "statement" not in changed:
        # Whoever changed it met its eraser, and came to nothing.
        return None
    known = {} if before is None else before.fields
    evidence = {} if before is None else dict(before.evidence)
    for item in body.get("released", ()):
        evidence.pop(_place(item), None)
    given = [name for name in FIELDS if name in changed]
    return Recorded({**known, **_select(changed, given)}, _add(evidence, body.get("added", ())))


def _add(
    evidence: dict[Place, Mapping[str, Any]], cited: Iterable[Mapping[str, Any]]
) -> dict[Place, Mapping[str, Any]]:
    """The same with more; what is cited twice is as it was cited first."""
    for item in cited:
        evidence.setdefault(_place(item), _select(item, CITED))
    return evidence


def _place(item: Mapping[str, Any]) -> Place:
    return (item["receipt"], item["message_index"], item["quote"])


def _select(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: _plain(name, values[name]) for name in names}


def _plain(name: str, value: Any) -> Any:  # noqa: ANN401 - JSON
    """Times are spelled in several ways: by PostgreSQL, and by what writes JSON here."""
    if name not in _TIMES or value is None:
        return value
    return datetime.fromisoformat(value).astimezone(UTC).isoformat()


def to_memory(key: MemoryId, owner: Owner, recorded: Recorded, vector: Vector | None) -> Memory:
    """The memory as a value; without a vector it is compared with nothing."""
    fields = dict(recorded.fields)
    subject, attribute, member = (fields.pop(f"slot_{name}") for name in _SLOT)
    successor = fields.pop("superseded_by")
    for name in _TIMES & fields.keys():
        fields[name] = _read_time(fields[name])
    return Memory(
        id=key,
        owner=owner,
        scope=Scope(fields.pop("scope")),
        kind=Kind(fields.pop("kind")),
        state=MemoryState(fields.pop("state")),
        slot=Slot(subject, attribute, member) if attribute is not None else None,
        superseded_by=MemoryId(UUID(successor)) if successor else None,
        vector=np.zeros(0, dtype=np.float32) if vector is None else vector,
        evidence=tuple(sorted(map(_to_evidence, recorded.evidence.values()), key=_order_of)),
        **fields,
    )


def _to_evidence(item: Mapping[str, Any]) -> Evidence:
    return Evidence(
        transcript_id=ReceiptId(UUID(item["receipt"])),
        session_id=item["session_id"],
        message_id=item["message_id"],
        message_index=item["message_index"],
        role=Role(item["role"]),
        speaker=item["speaker"],
        quote=item["quote"],
        said_at=datetime.fromisoformat(item["said_at"]),
        event_at=datetime.fromisoformat(item["event_at"]),
    )


def _order_of(item: Evidence) -> tuple[datetime, str, int]:
    return (item.said_at, str(item.transcript_id), item.message_index)


def _read_time(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)


# ---- snapshots -----------------------------------------------------------------------------------


def spell_known(known: Known, version: int) -> dict[str, Any]:
    """What is known as one JSON value."""
    return {
        "schema_version": version,
        "memories": [
            {
                "id": str(key),
                "fields": dict(known[key].fields),
                "evidence": [dict(item) for item in known[key].evidence.values()],
            }
            for key in sorted(known)
        ],
    }


def read_known(value: Mapping[str, Any]) -> dict[MemoryId, Recorded]:
    """The same again."""
    return {
        MemoryId(UUID(item["id"])): record(item["fields"], item["evidence"])
        for item in value["memories"]
    }


def without(
    known: Known, ids: Collection[MemoryId], receipts: Collection[str], alive: Collection[MemoryId]
) -> dict[MemoryId, Recorded]:
    """What is known without some memories, and without what some transcripts say.

    A memory that cites one of them and is not there any more goes as a whole.
    """
    left = {}
    for key, memory in known.items():
        cites = any(place[0] in receipts for place in memory.evidence)
        if key in ids or (cites and key not in alive):
            continue
        kept = {place: item for place, item in memory.evidence.items() if place[0] not in receipts}
        left[key] = Recorded(memory.fields, kept)
    return left


# ---- comparing -----------------------------------------------------------------------------------

MISSING, SURPLUS, EVIDENCE = "missing", "surplus", "evidence"


@dataclass(frozen=True, slots=True)
class Divergence:
    """A memory of which the tables say something else than the log.

    Attributes:
        what: The fields that differ; ``missing`` in the tables, ``surplus`` there, or
            ``evidence``.
    """

    memory_id: MemoryId
    what: tuple[str, ...]


def compare(told: Known, stored: Known) -> list[Divergence]:
    """Where the tables say something else than the log, in the order of ids."""
    found = {key: _differing(told.get(key), stored.get(key)) for key in {*told, *stored}}
    return [Divergence(key, found[key]) for key in sorted(found) if found[key]]


def _differing(told: Recorded | None, stored: Recorded | None) -> tuple[str, ...]:
    if stored is None:
        return (MISSING,)
    if told is None:
        return (SURPLUS,)
    fields = [name for name in FIELDS if told.fields[name] != stored.fields[name]]
    return (*fields, *([EVIDENCE] if told.evidence != stored.evidence else []))
