"""The API's own description, made honest: what each route answers, what it takes, what can fail.

Beside the routes stands what they do; here stands what is said about them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import models_json_schema

from memstill_client.wire import TranscriptBody
from workers import schemas
from workers.checkpoint_routes import CheckpointBody

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI
    from pydantic import BaseModel

REF = "#/components/schemas/{model}"
# These are worth asking again.
PASSING = frozenset({429, 503})
ALWAYS = (401, 403, 422, 429, 500, 503)
WITH_BODY = frozenset({"post", "put", "patch"})
REASONS = {
    401: "No API key, or one that opens nothing.",
    403: "The key has not got the scope, or is another tenant's or user's.",
    404: "This tenant has nothing of the kind.",
    409: "The idempotency key or id was used before for other content, a thread has gone on, or "
    "whom this is about was erased while it was under way.",
    410: "What is stored of it is damaged.",
    422: "Something in the request is wrong: the field, and what to send instead.",
    413: "The body is larger than this takes.",
    429: "The tenant asks for too much at once, or too fast: wait and ask again.",
    500: "Something broke; the answer names the line of the log.",
    503: "A server is away, or somebody else is at it: try again.",
}
RETRY_AFTER = {"Retry-After": {"description": "In so many seconds.", "schema": {"type": "integer"}}}
EXAMPLE = {
    "schema_version": 1,
    "user_id": "alice",
    "session_id": "s-42",
    "started_at": "2026-03-02T09:00:00+01:00",
    "time_zone": "Europe/Berlin",
    "messages": [{"role": "user", "content": "I live in Lisbon and prefer short answers."}],
}


@dataclass(frozen=True, slots=True)
class Says:
    """What a route answers.

    Attributes:
        model: With success.
        fails: Besides what any route may answer.
        error: What those say.
    """

    model: type[BaseModel]
    fails: tuple[int, ...] = ()
    error: type[BaseModel] = schemas.Error


NOT_THERE = (404,)
ROUTES: Mapping[tuple[str, str], Says] = {
    ("get", "/healthz"): Says(schemas.Health),
    ("get", "/readyz"): Says(schemas.Readiness),
    ("get", "/v1/caller"): Says(schemas.CallerShown),
    ("post", "/v1/transcripts"): Says(schemas.Pushed, (409,)),
    ("post", "/v1/transcripts:bulk"): Says(schemas.PushedLines),
    ("get", "/v1/transcripts/{receipt}"): Says(schemas.Status, NOT_THERE),
    ("post", "/v1/transcripts:states"): Says(schemas.States),
    ("get", "/v1/recall"): Says(schemas.Recalled),
    ("post", "/v1/recall"): Says(schemas.Recalled),
    ("get", "/v1/memories"): Says(schemas.Memories),
    ("get", "/v1/memories/{memory}"): Says(schemas.MemoryShown, NOT_THERE),
    ("get", "/v1/memories/{memory}/history"): Says(schemas.History, NOT_THERE),
    ("post", "/v1/memories/{memory}:forget"): Says(schemas.MemoryForgotten, NOT_THERE),
    ("post", "/v1/memories/{memory}:restore"): Says(schemas.MemoryShown, NOT_THERE),
    ("put", "/v1/procedures"): Says(schemas.ProcedureShown, (409,)),
    ("get", "/v1/procedures"): Says(schemas.ProceduresFound),
    ("get", "/v1/procedures/{procedure}"): Says(schemas.ProcedureVersions, NOT_THERE),
    ("post", "/v1/procedures/{procedure}/outcomes"): Says(schemas.ProcedureShown, (404, 409)),
    ("post", "/v1/sessions/{session_id}/context"): Says(schemas.ContextCount, (409,)),
    ("get", "/v1/sessions/{session_id}/context"): Says(schemas.ContextShown),
    ("post", "/v1/sessions/{session_id}/episodes"): Says(schemas.EpisodeKept, (409,)),
    ("get", "/v1/episodes"): Says(schemas.Episodes),
    ("put", "/v1/sessions/{session_id}/tools"): Says(schemas.StateKept, (409,)),
    ("get", "/v1/sessions/{session_id}/tools"): Says(schemas.ToolStates),
    ("put", "/v1/sessions/{session_id}/state"): Says(schemas.StateKept, (409,)),
    ("get", "/v1/sessions/{session_id}/state"): Says(schemas.StateShown, NOT_THERE),
    ("post", "/v1/sessions/{session_id}/working"): Says(schemas.WorkingShown, (409,)),
    ("get", "/v1/sessions/{session_id}/working"): Says(schemas.WorkingShown),
    ("post", "/v1/rates:count"): Says(schemas.UseCounted, (409,)),
    ("get", "/v1/sessions"): Says(schemas.Sessions),
    ("get", "/v1/verdicts"): Says(schemas.Verdicts),
    ("post", "/v1/imports"): Says(schemas.Imported, (409,)),
    ("post", "/v1/imports:settle"): Says(schemas.Placed),
    ("get", "/v1/profiles/{user_id}"): Says(schemas.ProfileShown),
    ("patch", "/v1/profiles/{user_id}"): Says(schemas.ProfileShown, (409,)),
    ("get", "/v1/cost"): Says(schemas.Cost),
    ("get", "/v1/batches"): Says(schemas.Batches),
    ("post", "/v1/batches:poll"): Says(schemas.Polled),
    ("get", "/v1/promotions"): Says(schemas.Promotions),
    ("post", "/v1/promotions:scan"): Says(schemas.Scanned),
    ("post", "/v1/promotions/{promotion}:approve"): Says(schemas.Promotion, NOT_THERE),
    ("post", "/v1/promotions/{promotion}:reject"): Says(schemas.Promotion, NOT_THERE),
    ("post", "/v1/redistill"): Says(schemas.GenerationShown, NOT_THERE),
    ("get", "/v1/redistill"): Says(schemas.GenerationShown, NOT_THERE),
    ("get", "/v1/redistill/diff"): Says(schemas.Comparison, NOT_THERE),
    ("post", "/v1/redistill:switch"): Says(schemas.GenerationShown, NOT_THERE),
    ("post", "/v1/redistill:back-out"): Says(schemas.GenerationShown, NOT_THERE),
    ("post", "/v1/redistill:drop"): Says(schemas.GenerationShown, NOT_THERE),
    ("delete", "/v1/users/{user_id}"): Says(schemas.ErasureShown),
    ("get", "/v1/erasures"): Says(schemas.Erasures),
    ("get", "/v1/erasures/{erasure}"): Says(schemas.ErasureShown, NOT_THERE),
    ("post", "/v1/index:reconcile"): Says(schemas.Reconciled),
    ("post", "/v1/index:reindex"): Says(schemas.RebuildShown),
    ("post", "/v1/index:proceed"): Says(schemas.RebuildShown, NOT_THERE),
    ("post", "/v1/index:cancel"): Says(schemas.RebuildShown, NOT_THERE),
    ("post", "/v1/memories/{memory}:pin"): Says(schemas.MemoryShown, NOT_THERE),
    ("post", "/v1/memories/{memory}:unpin"): Says(schemas.MemoryShown, NOT_THERE),
    ("get", "/v1/decay"): Says(schemas.Fading),
    ("post", "/v1/decay:run"): Says(schemas.DecayTurn),
    ("get", "/v1/holds"): Says(schemas.Holds),
    ("post", "/v1/holds"): Says(schemas.HoldShown),
    ("post", "/v1/holds/{hold}:release"): Says(schemas.HoldShown, NOT_THERE),
    ("post", "/v1/events:check"): Says(schemas.EventsChecked),
    ("post", "/v1/events:rebuild"): Says(schemas.MemoriesRewritten),
    ("get", "/v1/archive"): Says(schemas.ArchivedFiles),
    ("post", "/v1/archive:restore"): Says(schemas.EventsRestored),
    ("get", "/v1/jobs"): Says(schemas.Jobs),
    ("post", "/v1/jobs/{job}:run"): Says(schemas.JobTurn, NOT_THERE),
    ("get", "/v1/dead"): Says(schemas.Letters),
    ("get", "/v1/dead/{receipt}"): Says(schemas.Autopsy, NOT_THERE),
    ("post", "/v1/dead:replay"): Says(schemas.Handled),
    ("post", "/v1/dead:drop"): Says(schemas.Handled),
    ("post", "/v1/checkpoints"): Says(schemas.CheckpointSaved, (409,), schemas.CheckpointError),
    ("post", "/v1/checkpoints:fork"): Says(
        schemas.CheckpointSaved, (404, 409, 410), schemas.CheckpointError
    ),
    ("get", "/v1/checkpoints"): Says(schemas.CheckpointHistory),
    ("get", "/v1/checkpoints:threads"): Says(schemas.CheckpointThreads),
    ("get", "/v1/checkpoints:latest"): Says(
        schemas.CheckpointLoaded, (404, 410), schemas.CheckpointError
    ),
    ("get", "/v1/checkpoints/{checkpoint}"): Says(
        schemas.CheckpointLoaded, (404, 410), schemas.CheckpointError
    ),
    ("post", "/v1/checkpoints:clean"): Says(schemas.CheckpointsCleaned),
}
PUBLIC = frozenset({"/healthz", "/readyz"})
# These read their bodies as they come in, so FastAPI cannot tell what they hold.
BODIES: Mapping[str, dict[str, Any]] = {
    "/v1/transcripts": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {"$ref": REF.format(model="TranscriptBody")},
                "example": EXAMPLE,
            }
        },
    },
    "/v1/checkpoints": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": REF.format(model="CheckpointBody")}}},
    },
    "/v1/transcripts:bulk": {
        "required": True,
        "description": "One transcript a line, as `POST /v1/transcripts` takes it.",
        "content": {"application/x-ndjson": {"schema": {"type": "string"}}},
    },
}


def describe(api: FastAPI, *, needs_keys: bool) -> None:
    """Have the application describe itself in full; to be called when it has all its routes."""
    generate = api.openapi

    def openapi() -> dict[str, Any]:
        if api.openapi_schema is None:
            api.openapi_schema = _complete(generate(), needs_keys=needs_keys)
        return api.openapi_schema

    api.openapi = openapi  # type: ignore[method-assign]


def _complete(document: dict[str, Any], *, needs_keys: bool) -> dict[str, Any]:
    """The generated description with what it leaves out."""
    known = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        known.pop(name, None)
    known |= _definitions()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            operation["responses"] = _responses(
                path, method, ROUTES[method, path], operation["responses"]
            )
            if path in BODIES and method == "post":
                operation["requestBody"] = BODIES[path]
            if not needs_keys:
                operation.pop("security", None)
    return document


def _definitions() -> dict[str, Any]:
    said = ROUTES.values()
    models = {each for says in said for each in (says.model, says.error)} | {schemas.Error}
    _, answers = models_json_schema(
        [(model, "serialization") for model in sorted(models, key=_name)], ref_template=REF
    )
    _, bodies = models_json_schema(
        [(TranscriptBody, "validation"), (CheckpointBody, "validation")], ref_template=REF
    )
    found: dict[str, Any] = answers["$defs"] | bodies["$defs"]
    return found


def _name(model: type[BaseModel]) -> str:
    return model.__name__


def _responses(path: str, method: str, says: Says, generated: Mapping[str, Any]) -> dict[str, Any]:
    success = next(status for status in generated if status.startswith("2"))
    usual = (503,) if path in PUBLIC else ALWAYS
    sized = (413,) if method in WITH_BODY else ()
    failures = {
        str(status): _failure(status, says.error if status in says.fails else schemas.Error)
        for status in sorted({*usual, *sized, *says.fails})
    }
    return {success: _said(says.model.__doc__ or "", says.model), **failures}


def _failure(status: int, model: type[BaseModel]) -> dict[str, Any]:
    headers = {"headers": RETRY_AFTER} if status in PASSING else {}
    return _said(REASONS[status], model) | headers


def _said(description: str, model: type[BaseModel]) -> dict[str, Any]:
    schema = {"$ref": REF.format(model=_name(model))}
    return {
        "description": description,
        "content": {"application/json": {"schema": schema}},
    }
