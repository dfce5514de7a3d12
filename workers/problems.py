"""Answers that are no success: each has one form, whatever went wrong and wherever."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import structlog
from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from memstill_client.errors import InvalidTranscript
from pipelines.errors import (
    AccessRefused,
    DependencyUnavailable,
    ErasedMeanwhile,
    IdempotencyConflict,
    InputError,
    KeyRefused,
    NotFound,
    OwnerBusy,
    StoreRefused,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import FastAPI

NO_JSON, NO_SUCH_PATH, NOT_SO, TOO_LARGE, TOO_MANY = 400, 404, 405, 413, 429
KINDS = {
    NO_SUCH_PATH: "not_found",
    NOT_SO: "method_not_allowed",
    TOO_LARGE: "too_large",
    TOO_MANY: "too_many_requests",
}
NOWHERE = "there is nothing at this address; what there is stands at /docs, all of it below /v1"
REQUEST_ID = "request_id"


def problem(
    status: int,
    kind: str,
    field: str | None,
    reason: str,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """What is answered: what is wrong, where, and what to do about it."""
    told = {"error": {"type": kind, "field": field, "reason": reason}}
    return JSONResponse(told, status_code=status, headers=headers)


def handle_problems(api: FastAPI) -> None:
    """Have every error answered so."""
    _handle_inputs(api)
    _handle_strangers(api)
    _handle_access(api)
    _handle_passing(api)

    @api.exception_handler(Exception)
    def broken(_: Request, __: Exception) -> Response:
        name = structlog.contextvars.get_contextvars().get(REQUEST_ID, "unknown")
        reason = f"something broke here; whoever runs memstill finds it in the log as {name}"
        return problem(500, "internal", None, reason)


def _handle_inputs(api: FastAPI) -> None:
    @api.exception_handler(InvalidTranscript)
    def invalid_transcript(_: Request, error: InvalidTranscript) -> Response:
        return problem(422, "invalid_transcript", error.field, error.reason)

    @api.exception_handler(InputError)
    def input_error(_: Request, error: InputError) -> Response:
        is_conflict = isinstance(error, IdempotencyConflict)
        kind = "idempotency_conflict" if is_conflict else "invalid_request"
        return problem(409 if is_conflict else 422, kind, error.field, error.reason)

    @api.exception_handler(RequestValidationError)
    def invalid_request(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or "body"
        return problem(422, "invalid_request", field, first["msg"])

    @api.exception_handler(StoreRefused)
    def not_storable(_: Request, error: StoreRefused) -> Response:
        return problem(422, "invalid_request", "body", f"cannot be stored: {error}")

    @api.exception_handler(NotFound)
    def not_found(_: Request, error: NotFound) -> Response:
        return problem(404, "not_found", None, str(error))


def _handle_strangers(api: FastAPI) -> None:
    """No such path, not with this method, no JSON, too much: said as everything else is."""

    @api.exception_handler(HTTPException)
    def refused(request: Request, error: HTTPException) -> Response:
        status = error.status_code
        if status == NO_JSON:
            return problem(422, "invalid_request", "body", "is no JSON in UTF-8")
        if status == NOT_SO:
            return _refuse_method(request)
        reason = NOWHERE if status == NO_SUCH_PATH else str(error.detail)
        field = "body" if status == TOO_LARGE else None
        return problem(status, KINDS.get(status, "invalid_request"), field, reason, error.headers)


def _refuse_method(request: Request) -> Response:
    """Say which methods there are; to whoever asks for just that, as a success."""
    methods = set[str]()
    for route in request.app.routes:
        match, _ = route.matches(request.scope)
        methods |= set() if match is Match.NONE else set(getattr(route, "methods", None) or ())
    methods |= {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
    allowed = ", ".join(sorted(methods))
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": allowed})
    reason = f"{request.method} is not done here; there are {allowed}"
    return problem(NOT_SO, KINDS[NOT_SO], None, reason, {"Allow": allowed})


def _handle_access(api: FastAPI) -> None:
    @api.exception_handler(AccessRefused)
    def access_refused(_: Request, error: AccessRefused) -> Response:
        if not isinstance(error, KeyRefused):
            return problem(403, "forbidden", error.field, error.reason)
        headers = {"WWW-Authenticate": "Bearer"}
        return problem(401, "unauthorized", error.field, error.reason, headers)


def _handle_passing(api: FastAPI) -> None:
    """A server is away, or somebody else was at it."""

    @api.exception_handler(DependencyUnavailable)
    def unavailable(_: Request, error: DependencyUnavailable) -> Response:
        seconds = str(max(1, ceil(error.retry_after_seconds or 0)))
        reason = f"{error}; try again"
        return problem(503, "unavailable", None, reason, {"Retry-After": seconds})

    @api.exception_handler(OwnerBusy)
    def busy(_: Request, error: OwnerBusy) -> Response:
        return problem(503, "unavailable", None, str(error), {"Retry-After": "1"})

    @api.exception_handler(ErasedMeanwhile)
    def erased(_: Request, error: ErasedMeanwhile) -> Response:
        return problem(409, "erased", None, str(error))
