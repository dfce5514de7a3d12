"""Routes about single memories: what one says, what became of it, and making it current again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, Query

from pipelines.model import MemoryId
from workers.callers import read_id, tenant
from workers.views import history_view, memory_view

if TYPE_CHECKING:
    from workers.container import Container

MAX_PAGE = 1_000


def add_memory_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""

    @api.get("/v1/memories")
    def memories(
        tenant_id: Annotated[str, Depends(tenant)],
        user_id: Annotated[str | None, Query(min_length=1)] = None,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 200,
    ) -> dict[str, Any]:
        start = None if after is None else MemoryId(read_id(after, "after"))
        page = container.store.export_memories(tenant_id, user_id, start, limit)
        more = str(page[-1].id) if len(page) == limit else None
        return {"memories": [memory_view(memory) for memory in page], "next": more}

    @api.get("/v1/memories/{memory}")
    def show(memory: str, tenant_id: Annotated[str, Depends(tenant)]) -> dict[str, Any]:
        return memory_view(container.store.find_memory(tenant_id, read_id(memory, "memory")))

    @api.get("/v1/memories/{memory}/history")
    def history(memory: str, tenant_id: Annotated[str, Depends(tenant)]) -> dict[str, Any]:
        return history_view(container.history.run(tenant_id, read_id(memory, "memory")))

    @api.post("/v1/memories/{memory}:restore")
    def restore(memory: str, tenant_id: Annotated[str, Depends(tenant)]) -> dict[str, Any]:
        return memory_view(container.restore.run(tenant_id, read_id(memory, "memory")))
