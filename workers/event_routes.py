"""Routes about the event log: compare it with the tables, and write the tables from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from memstill_client.wire import MAX_ID_CHARS
from pipelines.model import Owner
from workers.callers import TenantAdmin

if TYPE_CHECKING:
    from pipelines.flows.event_log import Compared
    from workers.container import Container

# Users whose logs are compared for one request.
PART = 20


class CheckBody(BaseModel):
    """What ``POST /v1/events:check`` takes."""

    model_config = ConfigDict(extra="forbid")

    user_id: str | None = Field(
        default=None, max_length=MAX_ID_CHARS, description="Only this user; empty is everyone."
    )
    after: str | None = Field(default=None, description="The ``next`` of the answer before.")


class RebuildBody(BaseModel):
    """What ``POST /v1/events:rebuild`` takes."""

    model_config = ConfigDict(extra="forbid")

    user_id: str = Field(max_length=MAX_ID_CHARS, description="Empty is everyone.")


def add_event_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    history = container.record

    @api.post("/v1/events:check")
    def check(body: CheckBody, caller: TenantAdmin) -> dict[str, Any]:
        if body.user_id is not None:
            owner = Owner(caller.tenant_id, body.user_id)
            return compared_view(history.check.run_user(owner))
        return compared_view(history.check.run(caller.tenant_id, body.after, PART))

    @api.post("/v1/events:rebuild")
    def rebuild(body: RebuildBody, caller: TenantAdmin) -> dict[str, Any]:
        done = history.rewrite.run(Owner(caller.tenant_id, body.user_id))
        return {"written": done.written, "removed": done.removed}


def compared_view(found: Compared) -> dict[str, Any]:
    """What differs; ids and the names of fields are all that it says of a memory."""
    return {
        "users": found.users,
        "memories": found.memories,
        "differences": [
            {
                "user_id": each.owner.user_id,
                "memory_id": str(item.memory_id),
                "what": list(item.what),
            }
            for each in found.divergent
            for item in each.found
        ],
        "next": found.after,
    }
