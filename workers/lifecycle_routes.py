"""Routes about how long memories are told: pins, legal holds, and what is about to fade."""

from __future__ import annotations

import uuid
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Query
from pydantic import BaseModel, ConfigDict, Field

from memstill_client.wire import MAX_ID_CHARS
from pipelines.model import Owner
from pipelines.ports import HoldId, LegalHold
from pipelines.stages.decay import describe
from workers.callers import Admin, Operator, TenantAdmin, read_id
from workers.job_routes import turn_view
from workers.pages import After, PageSize, next_of, read_after
from workers.views import memory_view

if TYPE_CHECKING:
    from fastapi import FastAPI

    from pipelines.ports import Survey
    from pipelines.stages.decay import Faded
    from workers.container import Container

MAX_FADED = 10_000
API = "api"


class HoldBody(BaseModel):
    """What ``POST /v1/holds`` takes."""

    model_config = ConfigDict(extra="forbid")

    user_id: str = Field(min_length=1, max_length=MAX_ID_CHARS)
    reason: str = Field(min_length=1, max_length=1_000, description="For whoever asks later.")
    by: str = Field(default=API, min_length=1, max_length=MAX_ID_CHARS, description="Who decides.")


class ReleaseBody(BaseModel):
    """What ``POST /v1/holds/{hold}:release`` takes."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field(default=API, min_length=1, max_length=MAX_ID_CHARS, description="Who decides.")


class DecayBody(BaseModel):
    """What ``POST /v1/decay:run`` takes."""

    model_config = ConfigDict(extra="forbid")

    position: str | None = Field(default=None, description="The one of the answer before.")


def add_lifecycle_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    _add_pins(api, container)
    _add_decay(api, container)
    _add_holds(api, container)


def _add_pins(api: FastAPI, container: Container) -> None:
    store, pins = container.store, container.lifecycle.pins

    def decide(memory: str, caller: Admin, *, pinned: bool) -> dict[str, Any]:
        found = store.find_memory(caller.tenant_id, read_id(memory, "memory"), caller.user_id)
        pins.pin(caller.tenant_id, found.id, container.clock.now(), pinned=pinned)
        return memory_view(store.find_memory(caller.tenant_id, found.id, caller.user_id))

    @api.post("/v1/memories/{memory}:pin")
    def pin(memory: str, caller: Admin) -> dict[str, Any]:
        return decide(memory, caller, pinned=True)

    @api.post("/v1/memories/{memory}:unpin")
    def unpin(memory: str, caller: Admin) -> dict[str, Any]:
        return decide(memory, caller, pinned=False)


def _add_decay(api: FastAPI, container: Container) -> None:
    decay = container.lifecycle.decay

    @api.get("/v1/decay")
    def preview(
        caller: TenantAdmin, limit: Annotated[int, Query(ge=0, le=MAX_FADED)] = 100
    ) -> dict[str, Any]:
        survey = decay.survey(caller.tenant_id)
        faded = islice(decay.list_faded(caller.tenant_id), limit)
        return survey_view(survey) | {"faded": [faded_view(item) for item in faded]}

    @api.post("/v1/decay:run")
    def run(body: DecayBody, caller: Operator) -> dict[str, Any]:
        del caller
        outcome = decay.run(body.position)
        return turn_view(outcome) | {"position": getattr(outcome, "position", None)}


def _add_holds(api: FastAPI, container: Container) -> None:
    holds = container.lifecycle.holds

    @api.get("/v1/holds")
    def list_holds(
        caller: TenantAdmin, after: After = None, limit: PageSize = 200
    ) -> dict[str, Any]:
        page = holds.list_holds(caller.tenant_id, limit, read_after(after))
        return {"holds": [hold_view(hold) for hold in page], "next": next_of(page, limit)}

    @api.post("/v1/holds")
    def place(body: HoldBody, caller: TenantAdmin) -> dict[str, Any]:
        hold = LegalHold(
            id=HoldId(uuid.uuid4()),
            owner=Owner(caller.tenant_id, body.user_id),
            reason=body.reason,
            placed_at=container.clock.now(),
            placed_by=body.by,
        )
        return hold_view(holds.place(hold))

    @api.post("/v1/holds/{hold}:release")
    def release(hold: str, body: ReleaseBody, caller: TenantAdmin) -> dict[str, Any]:
        key = HoldId(read_id(hold, "hold"))
        return hold_view(holds.release(caller.tenant_id, key, body.by, container.clock.now()))


def survey_view(survey: Survey) -> dict[str, Any]:
    """How strong the memories of a tenant are."""
    return {
        "strengths": [
            {"from": bound, "memories": count} for bound, count in sorted(survey.strengths.items())
        ],
        "fading": dict(survey.faded),
        "spared": survey.spared,
        "evicted": survey.evicted,
    }


def faded_view(item: Faded) -> dict[str, Any]:
    """A memory that would be evicted now, and why."""
    return {
        "id": str(item.memory_id),
        "user_id": item.owner.user_id,
        "statement": item.statement,
        "kind": item.kind.value,
        "importance": item.importance,
        "strength": round(item.strength, 6),
        "reason": describe(item.strength, item.uses, item.idle, item.half_life),
    }


def hold_view(hold: LegalHold) -> dict[str, Any]:
    """A legal hold."""
    return {
        "id": str(hold.id),
        "user_id": hold.owner.user_id,
        "reason": hold.reason,
        "placed_at": hold.placed_at,
        "placed_by": hold.placed_by,
        "released_at": hold.released_at,
        "released_by": hold.released_by,
    }
