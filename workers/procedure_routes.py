"""Routes about procedures: writing them down, finding them, and saying how they turned out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query
from pydantic import BaseModel, ConfigDict, Field

from pipelines.errors import InputError
from pipelines.model import EVERYONE, Owner
from pipelines.stages.keys import KeyScope
from workers.callers import Caller, Reader, Writer, read_id

if TYPE_CHECKING:
    from pipelines.stages.procedures import Procedure
    from workers.container import Container

MAX_FOUND = 200
MAX_QUERY_CHARS = 10_000
UserId = Annotated[str | None, Field(min_length=1, max_length=200)]


class ProcedureBody(BaseModel):
    """What ``PUT /v1/procedures`` takes; without a user it is everyone's."""

    model_config = ConfigDict(extra="forbid")

    user_id: UserId = None
    name: str
    steps: list[str]
    expected_version: int | None = Field(
        default=None, ge=0, description="The version that was read, 0 for none."
    )


class OutcomeBody(BaseModel):
    """What ``POST /v1/procedures/{procedure}/outcomes`` takes."""

    model_config = ConfigDict(extra="forbid")

    user_id: UserId = None
    worked: bool
    key: str = Field(description="Of this outcome: told again with it, it is counted once.")
    version: int | None = Field(default=None, ge=1, description="The newest if not given.")


def add_procedure_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    procedures = container.procedures

    @api.put("/v1/procedures")
    def put(body: ProcedureBody, caller: Writer) -> dict[str, Any]:
        owner = _owner(caller, body.user_id)
        if owner.user_id == EVERYONE:
            caller.require(KeyScope.ADMIN, "a procedure of all users")
        made = procedures.put(owner, body.name, body.steps, body.expected_version)
        return procedure_view(made)

    @api.get("/v1/procedures")
    def find(
        caller: Reader,
        user_id: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
        name: Annotated[str | None, Query(max_length=200)] = None,
        query: Annotated[str, Query(max_length=MAX_QUERY_CHARS)] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_FOUND)] = 20,
    ) -> dict[str, Any]:
        owner = _owner(caller, user_id)
        if name is None:
            found = procedures.search(owner, query, limit)
        else:
            named = procedures.find_named(owner, name)
            found = [] if named is None else [named]
        return {"procedures": [procedure_view(item) for item in found]}

    @api.get("/v1/procedures/{procedure}")
    def show(procedure: str, caller: Reader) -> dict[str, Any]:
        key = read_id(procedure, "procedure")
        found = procedures.store.list_versions(caller.tenant_id, key, caller.user_id)
        return {"versions": [procedure_view(item) for item in found]}

    @api.post("/v1/procedures/{procedure}/outcomes")
    def record(procedure: str, body: OutcomeBody, caller: Writer) -> dict[str, Any]:
        key = read_id(procedure, "procedure")
        counted = procedures.record(
            _owner(caller, body.user_id), key, body.key, worked=body.worked, version=body.version
        )
        return procedure_view(counted)


def procedure_view(found: Procedure) -> dict[str, Any]:
    """One version as it is answered."""
    return {
        "id": str(found.id),
        "user_id": found.owner.user_id or None,
        "name": found.name,
        "steps": list(found.steps),
        "version": found.version,
        "since": found.since.isoformat(),
        "successes": found.successes,
        "failures": found.failures,
        "success_rate": round(found.success_rate, 4),
        "learned_from": found.learned_from and str(found.learned_from),
        "cites": [str(key) for key in found.cites],
    }


def _owner(caller: Caller, user_id: str | None) -> Owner:
    if user_id is not None and not user_id.isprintable():
        raise InputError("user_id", "holds a control character or half a one; send a plain name")
    return Owner(caller.tenant_id, caller.narrow(user_id) or EVERYONE)
