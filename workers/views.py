"""How values of the model look outside: JSON of the API, of exports and of the command line."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pipelines.model import Scope
from pipelines.stages.decay import describe

if TYPE_CHECKING:
    from pipelines.flows.history import Told
    from pipelines.flows.recall_tiers import Recollection
    from pipelines.model import Evidence, Memory
    from pipelines.ports import MemoryEvent, Status
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
        "due_at": status.due_at,
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
    """A memory with its validity and all that it rests on; of everyone's only how many users."""
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
        "ends": memory.ends,
        "importance": memory.importance,
        "session_id": memory.session_id,
        "valid_from": memory.valid_from,
        "valid_to": memory.valid_to,
        "confirmed_at": memory.confirmed_at,
        "superseded_by": str(memory.superseded_by) if memory.superseded_by else None,
        "version": memory.version,
        "distilled_by": memory.distilled_by,
        "users": memory.users,
        "pinned": memory.pinned,
        "evicted_at": memory.evicted_at,
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
            for item in _shown_evidence(memory)
        ],
    }


def history_view(told: Told) -> dict[str, Any]:
    """A memory with what held before and after it, and what happened to it."""
    return {
        "memory": memory_view(told.memory),
        "timeline": [memory_view(memory) for memory in told.timeline],
        "events": [
            {
                "at": event.at,
                "name": event.name,
                "state": event.body["memory"]["state"],
                "scope": event.body["memory"]["scope"],
                "version": event.body["memory"]["version"],
                "reason": _reason(event),
            }
            for event in told.events
        ],
    }


def _reason(event: MemoryEvent) -> str | None:
    why = event.body.get("why")
    if why is None:
        reason: str | None = event.body.get("reason")
        return reason
    idle, half_life = (timedelta(seconds=why[f"{name}_seconds"]) for name in ("idle", "half_life"))
    return describe(why["strength"], why["uses"], idle, half_life)


def recalled_view(told: Recollection) -> dict[str, Any]:
    """The answer to a recall."""
    summary = told.working.summary
    return {
        "block": told.block,
        "tokens": told.tokens,
        "notes": list(told.notes),
        "memories": [_ranked_view(item) for item in told.memories],
        "procedures": [
            {
                "id": str(item.id),
                "name": item.name,
                "steps": list(item.steps),
                "version": item.version,
                "success_rate": round(item.success_rate, 6),
            }
            for item in told.procedures
        ],
        "episodes": [
            {"session_id": item.session_id, "content": item.content, "created_at": item.created_at}
            for item in told.episodes
        ],
        "working": {
            "summary": None if summary is None else summary.content,
            "items": [item.content for item in told.working.items],
        },
    }


def _ranked_view(item: Ranked) -> dict[str, Any]:
    cited = _telling(item.memory)
    return {
        "id": str(item.memory.id),
        "statement": item.memory.statement,
        "kind": item.memory.kind.value,
        "scope": item.memory.scope.value,
        "subject": item.memory.subject,
        "valid_from": item.memory.valid_from,
        "score": round(item.score, 6),
        "quote": cited.quote if cited else "",
        "speaker": cited.speaker if cited else "",
        "message_id": cited.message_id if cited else "",
        "said_at": cited.said_at if cited else item.memory.confirmed_at,
        "session_id": item.memory.session_id,
        "users": item.memory.users,
        "source_message_ids": source_message_ids(item.memory),
    }


def _telling(memory: Memory) -> Evidence | None:
    """The evidence to quote: what the subject said, rather than the question before it."""
    shown = _shown_evidence(memory)
    own = (item for item in shown if item.speaker.casefold() == memory.subject.casefold())
    return next(own, next(iter(shown), None))


def source_message_ids(memory: Memory) -> list[str]:
    """The messages that the memory rests on, each once, in the order in which they were said."""
    return list(dict.fromkeys(item.message_id for item in _shown_evidence(memory)))


def _shown_evidence(memory: Memory) -> tuple[Evidence, ...]:
    """Nothing of what is everyone's: who said it is no other user's business."""
    return () if memory.scope is Scope.GLOBAL else memory.evidence
