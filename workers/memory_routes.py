"""Routes about single memories: what one says, what became of it, and making it current again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query

from pipelines.model import MemoryId
from pipelines.stages.keys import KeyScope
from workers.callers import Admin, Exporter, Reader, read_id
from workers.views import history_view, memory_view

if TYPE_CHECKING:
    from workers.container import Container

MAX_PAGE = 1_000


def add_memory_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""

    @api.get("/v1/memories")
    def memories(
        caller: Exporter,
        user_id: Annotated[str | None, Query(min_length=1)] = None,
        after: str | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 200,
    ) -> dict[str, Any]:
        whose = caller.narrow(user_id)
        if whose is None:
            caller.require(KeyScope.ADMIN, "exporting all users")
        start = None if after is None else MemoryId(read_id(after, "after"))
        page = container.store.export_memories(caller.tenant_id, whose, start, limit)
        more = str(page[-1].id) if len(page) == limit else None
        return {"memories": [memory_view(memory) for memory in page], "next": more}

    @api.get("/v1/memories/{memory}")
    def show(memory: str, caller: Reader) -> dict[str, Any]:
        key = read_id(memory, "memory")
        return memory_view(container.store.find_memory(caller.tenant_id, key, caller.user_id))

    @api.get("/v1/memories/{memory}/history")
    def history(memory: str, caller: Reader) -> dict[str, Any]:
        key = read_id(memory, "memory")
        return history_view(container.history.run(caller.tenant_id, key, caller.user_id))

    @api.post("/v1/memories/{memory}:restore")
    def restore(memory: str, caller: Admin) -> dict[str, Any]:
        key = read_id(memory, "memory")
        return memory_view(container.restore.run(caller.tenant_id, key, caller.user_id))
