"""Routes about the batches in which backfill is distilled: list them, see to them now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from pipelines.errors import InputError
from pipelines.outcome import Done
from workers.callers import Operator, TenantAdmin
from workers.pages import After, PageSize, next_of, read_after

if TYPE_CHECKING:
    from pipelines.ports import BatchReport
    from workers.container import Container


def add_batch_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""

    @api.get("/v1/batches")
    def batches(caller: TenantAdmin, after: After = None, limit: PageSize = 100) -> dict[str, Any]:
        page = container.batch_store.report(caller.tenant_id, limit, read_after(after))
        return {
            "is_on": container.batches is not None,
            "batches": [batch_view(report) for report in page],
            "next": next_of(page, limit),
        }

    @api.post("/v1/batches:poll")
    def poll(_: Operator) -> dict[str, int]:
        if container.batches is None:
            raise InputError("MEMSTILL_MODEL_BATCH", "is off; set it to on where the server runs")
        outcome = container.batches.run()
        counts = outcome.counts if isinstance(outcome, Done) else {}
        return {name: counts.get(name, 0) for name in ("ended", "opened")}


def batch_view(report: BatchReport) -> dict[str, Any]:
    """A batch as its tenant sees it."""
    return {
        "id": str(report.id),
        "state": report.state.value,
        "outcome": report.outcome.value if report.outcome else None,
        "provider_id": report.provider_id,
        "created_at": report.created_at,
        "deadline_at": report.deadline_at,
        "ended_at": report.ended_at,
        "last_error": report.last_error,
        "requests": report.requests,
        "answered": report.answered,
        "failed": report.failed,
    }
