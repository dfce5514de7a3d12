"""Routes about the event log, beside the tables, and in the archive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field

from memstill_client.wire import MAX_ID_CHARS
from pipelines.model import Owner
from workers.callers import TenantAdmin

if TYPE_CHECKING:
    from pipelines.flows.event_log import Compared
    from pipelines.ports import ArchivedFile
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


class RestoreBody(BaseModel):
    """What ``POST /v1/archive:restore`` takes."""

    model_config = ConfigDict(extra="forbid")

    user_id: str = Field(min_length=1, max_length=MAX_ID_CHARS)


def add_event_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    record = container.record

    @api.post("/v1/events:check")
    def check(body: CheckBody, caller: TenantAdmin) -> dict[str, Any]:
        if body.user_id is not None:
            owner = Owner(caller.tenant_id, body.user_id)
            return compared_view(record.check.run_user(owner))
        return compared_view(record.check.run(caller.tenant_id, body.after, PART))

    @api.post("/v1/events:rebuild")
    def rebuild(body: RebuildBody, caller: TenantAdmin) -> dict[str, Any]:
        done = record.rewrite.run(Owner(caller.tenant_id, body.user_id))
        return {"written": done.written, "removed": done.removed}

    @api.get("/v1/archive")
    def list_files(
        caller: TenantAdmin, user_id: Annotated[str | None, Query(min_length=1)] = None
    ) -> dict[str, Any]:
        files = record.need_archive().files
        if user_id is None:
            return {"files": [file_view(file) for file in files.list_tenant(caller.tenant_id)]}
        return {
            "files": [
                file_view(file) for file in files.list_files(Owner(caller.tenant_id, user_id))
            ]
        }

    @api.post("/v1/archive:restore")
    def restore(body: RestoreBody, caller: TenantAdmin) -> dict[str, Any]:
        archiving = record.need_archive()
        return {"restored": archiving.restore.run(Owner(caller.tenant_id, body.user_id))}


def file_view(file: ArchivedFile) -> dict[str, Any]:
    """What the manifest of a file says."""
    return {
        "key": file.key,
        "kind": file.kind.value,
        "user_id": file.owner.user_id,
        "rows": file.rows,
        "size": file.size,
        "sha256": file.sha256,
        "first": file.first,
        "last": file.last,
        "written_at": file.written_at,
    }


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
