"""Routes about the index: compare it with the rows, build it anew. They are for operators.

Both go through all tenants, in turns: whoever asks goes on asking until there is nothing left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from pipelines.errors import QueueUnavailable
from pipelines.model import MemoryId
from workers.callers import Operator, read_id
from workers.queue_check import check_queue

if TYPE_CHECKING:
    from fastapi import FastAPI

    from pipelines.flows.reconcile import Reconciled
    from pipelines.ports import Rebuild
    from workers.container import Container


class ReconcileBody(BaseModel):
    """What ``POST /v1/index:reconcile`` takes."""

    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(default=None, description="The ``next`` of the answer before.")
    repair: bool = False


def add_index_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    upkeep = container.upkeep

    @api.post("/v1/index:reconcile")
    def reconcile(body: ReconcileBody, caller: Operator) -> dict[str, Any]:
        del caller
        after = None if body.after is None else MemoryId(read_id(body.after, "after"))
        found = upkeep.reconcile.run(after, upkeep.policy.asked_turn, repairs=body.repair)
        queue = None if found.after else _queue_view(container, repairs=body.repair)
        return reconciled_view(found) | {"queue": queue}

    @api.post("/v1/index:reindex", status_code=202)
    def start(caller: Operator) -> dict[str, Any]:
        del caller
        return rebuild_view(upkeep.reindex.start())

    @api.post("/v1/index:proceed")
    def proceed(caller: Operator) -> dict[str, Any]:
        del caller
        return rebuild_view(upkeep.reindex.proceed(upkeep.policy.asked_turn))

    @api.post("/v1/index:cancel")
    def cancel(caller: Operator) -> dict[str, Any]:
        del caller
        return rebuild_view(upkeep.reindex.cancel())


def _queue_view(container: Container, *, repairs: bool) -> dict[str, Any]:
    try:
        found = check_queue(container, repairs=repairs)
    except QueueUnavailable as error:
        return {"error": str(error)}
    return {
        "error": None,
        "entries": found.entries,
        "stranded": found.stranded,
        "due": found.due,
        "woken": found.woken,
    }


def reconciled_view(found: Reconciled) -> dict[str, Any]:
    """What a turn found; ids are all that it says of a memory."""
    return {
        "compared": found.compared,
        "found": {kind.value: count for kind, count in found.found.items()},
        "examples": {kind.value: list(keys) for kind, keys in found.examples.items()},
        "repaired": found.repaired,
        "next": found.after,
    }


def rebuild_view(rebuild: Rebuild) -> dict[str, Any]:
    """How far a rebuild is."""
    return {
        "token": rebuild.token,
        "state": rebuild.standing.value,
        "started_at": rebuild.started_at,
        "compared": rebuild.compared,
        "expected": rebuild.expected,
    }
