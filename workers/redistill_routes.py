"""Routes about distilling again: start a generation, follow it, compare it, put it in place."""

from __future__ import annotations

from datetime import time
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field

from workers.callers import TenantAdmin
from workers.distillers import choose_recipe
from workers.moments import read_moment

if TYPE_CHECKING:
    from pipelines.flows.redistill import UserDifference
    from pipelines.model import Memory
    from pipelines.ports import GenerationProgress
    from workers.container import Container

MAX_USERS = 100


class RedistillBody(BaseModel):
    """What ``POST /v1/redistill`` takes; what is left out is as for live sessions."""

    model_config = ConfigDict(extra="forbid")

    since: str = Field(
        description="Sessions that ended from then on: YYYY-MM-DD (the start of that day in "
        "UTC), or a date and time in ISO 8601."
    )
    user_id: str | None = Field(default=None, min_length=1, max_length=200)
    distiller: Literal["offline", "model"] | None = None
    model: str | None = Field(default=None, min_length=1, max_length=200)
    prompt: str | None = Field(
        default=None, pattern=r"^[a-z0-9][a-z0-9._-]{0,40}$", description="Its version: v1."
    )


def add_redistill_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    flow = container.redistill

    @api.post("/v1/redistill", status_code=202)
    def start(body: RedistillBody, caller: TenantAdmin) -> dict[str, Any]:
        recipe = choose_recipe(
            container.settings,
            container.policies,
            distiller=body.distiller,
            model=body.model,
            prompt=body.prompt,
        )
        since = read_moment(body.since, "since", of_day=time.min)
        return generation_view(flow.start(caller.tenant_id, recipe, since, body.user_id))

    @api.get("/v1/redistill")
    def progress(caller: TenantAdmin) -> dict[str, Any]:
        return generation_view(flow.read_progress(caller.tenant_id))

    @api.get("/v1/redistill/diff")
    def diff(
        caller: TenantAdmin,
        user_id: str | None = None,
        after: str = "",
        limit: Annotated[int, Query(ge=1, le=MAX_USERS)] = 20,
    ) -> dict[str, Any]:
        if user_id is not None:
            found = flow.compare_user(caller.tenant_id, user_id)
            return {"users": [difference_view(found)], "next": None}
        page = flow.list_differences(caller.tenant_id, after, limit)
        more = page[-1].user_id if len(page) == limit else None
        return {"users": [difference_view(item) for item in page], "next": more}

    @api.post("/v1/redistill:switch", status_code=202)
    def switch(caller: TenantAdmin) -> dict[str, Any]:
        return generation_view(flow.switch(caller.tenant_id))

    @api.post("/v1/redistill:back-out", status_code=202)
    def back_out(caller: TenantAdmin) -> dict[str, Any]:
        return generation_view(flow.back_out(caller.tenant_id))

    @api.post("/v1/redistill:drop", status_code=202)
    def drop(caller: TenantAdmin) -> dict[str, Any]:
        return generation_view(flow.drop(caller.tenant_id))


def generation_view(progress: GenerationProgress) -> dict[str, Any]:
    """A generation, and how far it is."""
    generation = progress.generation
    return {
        "id": str(generation.id),
        "since": generation.since,
        "user_id": generation.user_id,
        "distiller": generation.recipe.distiller,
        "model": generation.recipe.model,
        "prompt": generation.recipe.prompt_name,
        "goal": generation.goal.value,
        "created_at": generation.created_at,
        "users": {step.value: count for step, count in progress.users.items()},
        "sessions": {state.value: count for state, count in progress.sessions.items()},
        "pending_facts": progress.pending_facts,
        "is_settled": progress.is_settled,
    }


def difference_view(found: UserDifference) -> dict[str, Any]:
    """What one user's memories gain and lose."""
    difference = found.difference
    return {
        "user_id": found.user_id,
        "step": found.step.value,
        "kept": difference.kept,
        "gone": [_memory_view(memory) for memory in difference.gone],
        "new": [_memory_view(memory) for memory in difference.new],
        "changed": [
            {
                "subject": item.slot.subject,
                "attribute": item.slot.attribute,
                "before": _memory_view(item.before),
                "after": _memory_view(item.after),
            }
            for item in difference.changed
        ],
    }


def _memory_view(memory: Memory) -> dict[str, Any]:
    return {
        "id": str(memory.id),
        "statement": memory.statement,
        "kind": memory.kind.value,
        "value": memory.value,
        "distilled_by": memory.distilled_by,
    }
