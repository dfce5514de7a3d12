"""Routes about what is proposed for everyone: look for it, list it, approve it, reject it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from pipelines.stages.sharing.share import OPEN_STATES, ProposalState
from workers.callers import TenantAdmin, read_id
from workers.pages import After, PageSize, next_of, read_after

if TYPE_CHECKING:
    from pipelines.stages.sharing.share import Proposal
    from workers.container import Container


class DecisionBody(BaseModel):
    """What a decision takes; ``by`` is for the record."""

    model_config = ConfigDict(extra="forbid")

    by: str = Field(default="api", min_length=1, max_length=200)


def add_promote_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    share = container.share

    @api.get("/v1/promotions")
    def promotions(
        caller: TenantAdmin,
        state: ProposalState | None = None,
        after: After = None,
        limit: PageSize = 200,
    ) -> dict[str, Any]:
        states = OPEN_STATES if state is None else (state,)
        page = share.sharing.list_proposals(caller.tenant_id, states, read_after(after), limit)
        shown = [promotion_view(item) for item in page]
        return {"promotions": shown, "next": next_of(page, limit)}

    @api.post("/v1/promotions:scan")
    def scan(caller: TenantAdmin) -> dict[str, int]:
        return share.scan(caller.tenant_id).counts()

    @api.post("/v1/promotions/{promotion}:approve")
    def approve(
        promotion: str, caller: TenantAdmin, body: DecisionBody | None = None
    ) -> dict[str, Any]:
        key = read_id(promotion, "promotion")
        return promotion_view(share.approve(caller.tenant_id, key, (body or DecisionBody()).by))

    @api.post("/v1/promotions/{promotion}:reject")
    def reject(
        promotion: str, caller: TenantAdmin, body: DecisionBody | None = None
    ) -> dict[str, Any]:
        key = read_id(promotion, "promotion")
        return promotion_view(share.reject(caller.tenant_id, key, (body or DecisionBody()).by))


def promotion_view(proposal: Proposal) -> dict[str, Any]:
    """What is to be decided: the words and how many say them, never who."""
    return {
        "id": str(proposal.id),
        "statement": proposal.statement,
        "subject": proposal.subject,
        "kind": proposal.kind.value,
        "users": proposal.users,
        "state": proposal.state.value,
        "proposed_at": proposal.proposed_at,
        "decided_at": proposal.decided_at,
        "decided_by": proposal.decided_by,
        "memory_id": str(proposal.memory_id) if proposal.memory_id else None,
    }
