"""The append-only log: one event for each change of a plan, complete enough to rebuild from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipelines.adapters.postgres.rows import evidence_json, memory_json
from pipelines.formats import EVENT
from pipelines.plan import Demote, Insert, Promote, Recount, Refile, Reinforce, Restore, Supersede

if TYPE_CHECKING:
    from datetime import datetime

    from pipelines.model import Evidence
    from pipelines.plan import Change, Plan


def event_rows(plan: Plan, now: datetime) -> list[dict[str, Any]]:
    """Rows for ``events``, in the order in which the changes were decided."""
    return [
        {
            "tenant_id": change.memory.owner.tenant_id,
            "user_id": change.memory.owner.user_id,
            "memory_id": change.memory.id,
            "name": change.event_name,
            "schema_version": EVENT.version,
            "body": _body(change, now),
            "at": now,
        }
        for change in plan.changes
    ]


def _body(change: Change, now: datetime) -> dict[str, Any]:
    memory = memory_json(change.memory, now)
    match change:
        case Insert():
            extra: dict[str, Any] = {"added": _cited(change.memory.evidence)}
        case Reinforce():
            extra = {"added": _cited(change.added)}
        case Refile() | Restore() | Recount():
            extra = {"released": _cited(change.released), "added": _cited(change.added)}
        case Promote() | Demote():
            extra = {"previous_scope": change.previous.value, "reason": change.reason}
        case Supersede():
            extra = {"added": _cited(change.added)}
    return {"memory": memory, **extra}


def _cited(items: tuple[Evidence, ...]) -> list[dict[str, Any]]:
    return [evidence_json(item) | {"receipt": item.transcript_id} for item in items]
