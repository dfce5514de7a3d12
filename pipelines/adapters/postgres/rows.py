"""How values of the model become rows, and rows values again."""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.formats import TRANSCRIPT_BODY
from pipelines.model import (
    Evidence,
    Fact,
    FactId,
    Kind,
    Lane,
    Memory,
    MemoryId,
    MemoryState,
    Message,
    Owner,
    ReceiptId,
    Role,
    Scope,
    Slot,
    Transcript,
    Vector,
)
from pipelines.stages.dedup import statement_key

if TYPE_CHECKING:
    import uuid
    from collections.abc import Mapping, Sequence


def transcript_body(transcript: Transcript) -> dict[str, Any]:
    """What the ``body`` column holds; carries its ``schema_version``."""
    return {
        "schema_version": TRANSCRIPT_BODY.version,
        "messages": [
            {
                "id": message.id,
                "role": message.role.value,
                "name": message.name,
                "content": message.content,
                "created_at": message.created_at,
            }
            for message in transcript.messages
        ],
        "metadata": transcript.metadata,
        "redactions": transcript.redactions,
    }


def read_transcript(row: Mapping[Any, Any], body: Mapping[str, Any]) -> Transcript:
    """A row of ``transcripts``, and the body that holds its text, as the value it was.

    Raises:
        NewerFormat: The body is of a newer release.
    """
    TRANSCRIPT_BODY.check(body["schema_version"])
    return Transcript(
        id=ReceiptId(row["receipt"]),
        owner=Owner(row["tenant_id"], row["user_id"]),
        session_id=row["session_id"],
        agent_id=row["agent_id"],
        started_at=row["started_at"],
        time_zone=row["time_zone"],
        idempotency_key=row["idempotency_key"],
        content_hash=row["content_hash"],
        metadata=body["metadata"],
        redactions=body["redactions"],
        lane=Lane(row["lane"]),
        copy_of=ReceiptId(row["copy_of"]) if row["copy_of"] else None,
        traceparent=row["traceparent"],
        messages=tuple(read_message(index, item) for index, item in enumerate(body["messages"])),
    )


def read_message(index: int, item: Mapping[str, Any]) -> Message:
    """A message of the ``body`` column as the value it was."""
    return Message(
        index=index,
        id=item["id"],
        role=Role(item["role"]),
        name=item["name"],
        content=item["content"],
        created_at=datetime.fromisoformat(item["created_at"]),
    )


def fact_row(fact: Fact) -> dict[str, Any]:
    """A fact as its row, its outcome left to the caller."""
    return {
        "id": fact.id,
        "receipt": fact.transcript_id,
        "tenant_id": fact.owner.tenant_id,
        "user_id": fact.owner.user_id,
        "session_id": fact.session_id,
        "ordinal": fact.ordinal,
        "statement": fact.statement,
        "subject": fact.subject,
        "kind": fact.kind.value,
        "importance": fact.importance,
        "slot_subject": fact.slot.subject if fact.slot else None,
        "slot_attribute": fact.slot.attribute if fact.slot else None,
        "slot_member": fact.slot.member if fact.slot else None,
        "value": fact.value,
        "ends": fact.ends,
        "event_at": fact.event_at,
        "evidence": [evidence_json(item) for item in fact.evidence],
        "distilled_by": fact.distilled_by,
    }


def read_fact(row: Mapping[Any, Any]) -> Fact:
    """A row of ``facts`` as the value it was."""
    return Fact(
        id=FactId(row["id"]),
        transcript_id=ReceiptId(row["receipt"]),
        owner=Owner(row["tenant_id"], row["user_id"]),
        session_id=row["session_id"],
        ordinal=row["ordinal"],
        statement=row["statement"],
        subject=row["subject"],
        kind=Kind(row["kind"]),
        importance=row["importance"],
        slot=_read_slot(row),
        value=row["value"],
        ends=row["ends"],
        event_at=row["event_at"],
        evidence=tuple(
            read_evidence(
                {
                    **item,
                    "receipt": row["receipt"],
                    "said_at": datetime.fromisoformat(item["said_at"]),
                    "event_at": datetime.fromisoformat(item["event_at"]),
                }
            )
            for item in row["evidence"]
        ),
        distilled_by=row["distilled_by"],
    )


def evidence_json(item: Evidence) -> dict[str, Any]:
    """Evidence inside a JSON column, without the receipt that the row around it has."""
    return {
        "session_id": item.session_id,
        "message_id": item.message_id,
        "message_index": item.message_index,
        "role": item.role.value,
        "speaker": item.speaker,
        "quote": item.quote,
        "said_at": item.said_at,
        "event_at": item.event_at,
    }


def evidence_row(memory_id: MemoryId, item: Evidence) -> dict[str, Any]:
    """Evidence as a row; the quote's hash is in the key because a quote can be long."""
    return {
        "memory_id": memory_id,
        "receipt": item.transcript_id,
        "quote_key": quote_key(item),
        **evidence_json(item),
    }


def quote_key(item: Evidence) -> str:
    """Stands for the quote in a key."""
    return hashlib.blake2b(item.quote.encode(), digest_size=16).hexdigest()


def read_evidence(row: Mapping[Any, Any]) -> Evidence:
    """A row of ``evidence`` as the value it was."""
    return Evidence(
        transcript_id=ReceiptId(row["receipt"]),
        session_id=row["session_id"],
        message_id=row["message_id"],
        message_index=row["message_index"],
        role=Role(row["role"]),
        speaker=row["speaker"],
        quote=row["quote"],
        said_at=row["said_at"],
        event_at=row["event_at"],
    )


def memory_row(memory: Memory, now: datetime) -> dict[str, Any]:
    """A memory as its row."""
    return {
        **memory_json(memory, now),
        "statement_key": statement_key(memory.statement),
        "embedding": memory.vector.astype("<f4", copy=False).tobytes(),
    }


def memory_json(memory: Memory, now: datetime) -> dict[str, Any]:
    """A memory inside a JSON column, without what can be made of it again."""
    return {
        "id": memory.id,
        "tenant_id": memory.owner.tenant_id,
        "user_id": memory.owner.user_id,
        "scope": memory.scope.value,
        "session_id": memory.session_id,
        "statement": memory.statement,
        "subject": memory.subject,
        "kind": memory.kind.value,
        "importance": memory.importance,
        "slot_subject": memory.slot.subject if memory.slot else None,
        "slot_attribute": memory.slot.attribute if memory.slot else None,
        "slot_member": memory.slot.member if memory.slot else None,
        "value": memory.value,
        "ends": memory.ends,
        "state": memory.state.value,
        "valid_from": memory.valid_from,
        "valid_to": memory.valid_to,
        "confirmed_at": memory.confirmed_at,
        "superseded_by": memory.superseded_by,
        "version": memory.version,
        "distilled_by": memory.distilled_by,
        "users": memory.users,
        "pinned": memory.pinned,
        "evicted_at": memory.evicted_at,
        "updated_at": now,
    }


def read_memory(row: Mapping[Any, Any], evidence: Sequence[Evidence]) -> Memory:
    """A row of ``memories`` with its evidence, in the order in which it was said."""
    return Memory(
        id=MemoryId(row["id"]),
        owner=Owner(row["tenant_id"], row["user_id"]),
        scope=Scope(row["scope"]),
        session_id=row["session_id"],
        statement=row["statement"],
        subject=row["subject"],
        kind=Kind(row["kind"]),
        importance=row["importance"],
        slot=_read_slot(row),
        value=row["value"],
        ends=row["ends"],
        state=MemoryState(row["state"]),
        valid_from=row["valid_from"],
        valid_to=row["valid_to"],
        confirmed_at=row["confirmed_at"],
        superseded_by=_read_memory_id(row["superseded_by"]),
        version=row["version"],
        distilled_by=row["distilled_by"],
        users=row["users"],
        pinned=row["pinned"],
        evicted_at=row["evicted_at"],
        vector=read_vector(row["embedding"]),
        evidence=tuple(evidence),
    )


def read_vector(raw: bytes) -> Vector:
    """The ``embedding`` column as an array."""
    return np.frombuffer(raw, dtype="<f4").astype(np.float32, copy=False)


def _read_memory_id(value: uuid.UUID | None) -> MemoryId | None:
    return MemoryId(value) if value else None


def _read_slot(row: Mapping[Any, Any]) -> Slot | None:
    if row["slot_attribute"] is None:
        return None
    return Slot(row["slot_subject"], row["slot_attribute"], row["slot_member"])
