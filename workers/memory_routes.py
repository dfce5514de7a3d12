"""Routes about single memories: what one says, its history, forgetting it, having it back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query

from pipelines.stages.keys import KeyScope
from workers.callers import Admin, Exporter, Reader, Writer, read_id
from workers.pages import After, PageSize, next_of, read_after
from workers.views import history_view, memory_view

if TYPE_CHECKING:
    from datetime import timedelta

    from pipelines.model import Memory
    from workers.container import Container


def add_memory_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    grace = container.policies.decay.grace

    @api.get("/v1/memories")
    def memories(
        caller: Exporter,
        user_id: Annotated[str | None, Query(min_length=1)] = None,
        after: After = None,
        limit: PageSize = 200,
    ) -> dict[str, Any]:
        whose = caller.narrow(user_id)
        if whose is None:
            caller.require(KeyScope.ADMIN, "exporting all users")
        page = container.store.export_memories(caller.tenant_id, whose, read_after(after), limit)
        shown = [memory_view(memory) for memory in page]
        return {"memories": shown, "next": next_of(page, limit)}

    @api.get("/v1/memories/{memory}")
    def show(memory: str, caller: Reader) -> dict[str, Any]:
        key = read_id(memory, "memory")
        return memory_view(container.store.find_memory(caller.tenant_id, key, caller.user_id))

    @api.get("/v1/memories/{memory}/history")
    def history(memory: str, caller: Reader) -> dict[str, Any]:
        key = read_id(memory, "memory")
        return history_view(container.history.run(caller.tenant_id, key, caller.user_id))

    @api.post("/v1/memories/{memory}:forget")
    def forget(memory: str, caller: Writer) -> dict[str, Any]:
        key = read_id(memory, "memory")
        return forgotten_view(container.forget.run(caller.tenant_id, key, caller.user_id), grace)

    @api.post("/v1/memories/{memory}:restore")
    def restore(memory: str, caller: Admin) -> dict[str, Any]:
        key = read_id(memory, "memory")
        return memory_view(container.restore.run(caller.tenant_id, key, caller.user_id))


def forgotten_view(memory: Memory, grace: timedelta) -> dict[str, Any]:
    """That it is told no more; not what it said, for whoever may only write."""
    evicted_at = memory.evicted_at
    return {
        "id": str(memory.id),
        "version": memory.version,
        "forgotten_at": evicted_at,
        "restorable_until": None if evicted_at is None else evicted_at + grace,
    }
