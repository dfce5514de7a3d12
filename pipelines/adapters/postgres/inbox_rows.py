"""The rows of the inbox: what is stored of a transcript, and of what was found in it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from pipelines.adapters.postgres.rows import fact_row, transcript_body
from pipelines.formats import UNREADABLE_BODY
from pipelines.model import FactOutcome, TranscriptState

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipelines.model import Fact, Owner, ReceiptId, Refusal, Transcript


# Of a transcript that is accepted; the others begin as the table has it.
ACCEPTED_COLUMNS = (
    "receipt",
    "tenant_id",
    "user_id",
    "session_id",
    "agent_id",
    "idempotency_key",
    "content_hash",
    "body",
    "time_zone",
    "started_at",
    "ended_at",
    "state",
    "fence",
    "due_at",
    "turn_at",
    "lane",
    "received_at",
    "traceparent",
)


def first_fence(now: datetime) -> int:
    """Where a new row begins to count its leases: above all that a row of its name ever had.

    A row can be erased and made anew, and whoever held the old one must not hold this one.
    """
    return int(now.timestamp() * 1000)


def transcript_row(item: Transcript, now: datetime) -> dict[str, Any]:
    """What is stored of a transcript that is accepted."""
    return {
        "receipt": item.id,
        "tenant_id": item.owner.tenant_id,
        "user_id": item.owner.user_id,
        "session_id": item.session_id,
        "agent_id": item.agent_id,
        "idempotency_key": item.idempotency_key,
        "content_hash": item.content_hash,
        "body": transcript_body(item),
        "time_zone": item.time_zone,
        "started_at": item.started_at,
        "ended_at": item.ended_at,
        "state": TranscriptState.QUEUED.value,
        "fence": first_fence(now),
        "due_at": now,
        "lane": item.lane.value,
        "received_at": now,
        "traceparent": item.traceparent,
    }


def dead_row(owner: Owner, receipt: ReceiptId, reason: str, now: datetime) -> dict[str, Any]:
    """What is stored of something that never was a transcript."""
    return {
        "receipt": receipt,
        "tenant_id": owner.tenant_id,
        "user_id": owner.user_id,
        "session_id": "",
        "time_zone": "UTC",
        "started_at": now,
        "ended_at": now,
        "state": TranscriptState.DEAD.value,
        "reason": reason,
        "due_at": now,
        "received_at": now,
        "finished_at": now,
    }


def unreadable_body(payload: str) -> dict[str, Any]:
    """What the ``body`` column holds of something that never was a transcript."""
    return {"schema_version": UNREADABLE_BODY.version, "unreadable": payload}


def fact_rows(
    transcript: Transcript, accepted: Sequence[Fact], refusals: Sequence[Refusal]
) -> list[dict[str, Any]]:
    """What is stored of the facts and refusals of one transcript."""
    kept = [
        fact_row(fact) | {"outcome": FactOutcome.PENDING.value, "reason": None} for fact in accepted
    ]
    return kept + [
        _refusal_row(transcript, len(accepted) + position, refusal)
        for position, refusal in enumerate(refusals)
    ]


def _refusal_row(transcript: Transcript, ordinal: int, refusal: Refusal) -> dict[str, Any]:
    draft = refusal.draft
    return {
        "id": uuid.uuid5(transcript.id, f"refused/{ordinal}"),
        "receipt": transcript.copy_of or transcript.id,
        "tenant_id": transcript.owner.tenant_id,
        "user_id": transcript.owner.user_id,
        "session_id": transcript.session_id,
        "ordinal": ordinal,
        "statement": draft.statement,
        "subject": draft.subject,
        "kind": draft.kind.value,
        "importance": draft.importance,
        "slot_subject": None,
        "slot_attribute": None,
        "slot_member": None,
        "value": draft.value,
        "ends": draft.ends,
        "event_at": draft.event_at or transcript.ended_at,
        "evidence": [],
        "distilled_by": "",
        "outcome": FactOutcome.REFUSED.value,
        "reason": refusal.reason,
    }
