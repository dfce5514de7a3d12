"""How values of the model look outside: JSON of the API, of exports and of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.flows.recall import Recalled
    from pipelines.model import Memory
    from pipelines.ports import Status
    from pipelines.stages.rank import Ranked


def status_view(status: Status) -> dict[str, Any]:
    """Where a transcript stands."""
    return {
        "receipt": str(status.receipt),
        "session_id": status.session_id,
        "state": status.state.value,
        "attempts": status.attempts,
        "counts": status.counts,
        "redactions": status.redactions,
        "reason": status.reason,
        "last_error": status.last_error,
        "received_at": status.received_at,
        "finished_at": status.finished_at,
        "facts": [
            {
                "statement": fact.statement,
                "kind": fact.kind,
                "outcome": fact.outcome,
                "reason": fact.reason,
                "memory_id": str(fact.memory_id) if fact.memory_id else None,
            }
            for fact in status.facts
        ],
    }


def memory_view(memory: Memory) -> dict[str, Any]:
    """A memory with its validity and all that it rests on."""
    return {
        "id": str(memory.id),
        "tenant_id": memory.owner.tenant_id,
        "user_id": memory.owner.user_id,
        "statement": memory.statement,
        "subject": memory.subject,
        "kind": memory.kind.value,
        "scope": memory.scope.value,
        "state": memory.state.value,
        "attribute": memory.slot.attribute if memory.slot else None,
        "value": memory.value,
        "importance": memory.importance,
        "session_id": memory.session_id,
        "valid_from": memory.valid_from,
        "valid_to": memory.valid_to,
        "confirmed_at": memory.confirmed_at,
        "superseded_by": str(memory.superseded_by) if memory.superseded_by else None,
        "version": memory.version,
        "distilled_by": memory.distilled_by,
        "source_message_ids": source_message_ids(memory),
        "evidence": [
            {
                "receipt": str(item.transcript_id),
                "session_id": item.session_id,
                "message_id": item.message_id,
                "role": item.role.value,
                "speaker": item.speaker,
                "quote": item.quote,
                "said_at": item.said_at,
            }
            for item in memory.evidence
        ],
    }


def recalled_view(recalled: Recalled) -> dict[str, Any]:
    """The answer to a recall."""
    return {
        "block": recalled.block,
        "tokens": recalled.tokens,
        "memories": [_ranked_view(item) for item in recalled.memories],
    }


def _ranked_view(item: Ranked) -> dict[str, Any]:
    first = item.memory.evidence[0]
    return {
        "id": str(item.memory.id),
        "statement": item.memory.statement,
        "kind": item.memory.kind.value,
        "scope": item.memory.scope.value,
        "subject": item.memory.subject,
        "valid_from": item.memory.valid_from,
        "score": round(item.score, 6),
        "quote": first.quote,
        "speaker": first.speaker,
        "said_at": first.said_at,
        "session_id": item.memory.session_id,
        "source_message_ids": source_message_ids(item.memory),
    }


def source_message_ids(memory: Memory) -> list[str]:
    """The messages that the memory rests on, each once, in the order in which they were said."""
    return list(dict.fromkeys(item.message_id for item in memory.evidence))
