"""The HTTP API: push transcripts, follow receipts, recall, export."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from config.retrieval import Tier
from memstill_client.errors import InvalidTranscript
from memstill_client.wire import TRACE_FIELD, parse_transcript
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
from pipelines.flows.recall import Question
from pipelines.flows.recall_tiers import ALL_TIERS
from pipelines.model import Lane, Owner
from workers.batch_routes import add_batch_routes
from workers.callers import Caller, Follower, Reader, ScopedRoute, Writer, read_id
from workers.checkpoint_routes import add_checkpoint_routes
from workers.clock import SystemClock
from workers.cost_routes import add_cost_routes
from workers.dead_routes import add_dead_routes
from workers.erase_routes import add_erase_routes
from workers.event_routes import add_event_routes
from workers.exchange_routes import add_exchange_routes
from workers.front import Front
from workers.health import HealthWatch, health_view, status_code
from workers.index_routes import add_index_routes
from workers.job_routes import add_job_routes
from workers.lifecycle_routes import add_lifecycle_routes
from workers.memory_routes import add_memory_routes
from workers.metrics.catalogue import ingesting
from workers.metrics.requests import TimedRequests
from workers.metrics_routes import add_metrics_route
from workers.moments import read_moment
from workers.openapi import describe
from workers.payloads import to_transcript
from workers.procedure_routes import add_procedure_routes
from workers.profile_routes import add_profile_routes
from workers.promote_routes import add_promote_routes
from workers.redistill_routes import add_redistill_routes
from workers.session_routes import add_session_routes
from workers.tracing import read_traceparent
from workers.views import recalled_view, status_view

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from config.settings import Settings
    from pipelines.model import Transcript
    from pipelines.ports import Accepted
    from workers.container import Container

log = structlog.get_logger(__name__)

NO_JSON, NO_SUCH_PATH = 400, 404
MAX_BULK_LINES = 1_000
MAX_BULK_BYTES = 64 * 1024 * 1024
MAX_RECEIPTS = 10_000
KEY_REUSED = "was used before for a transcript with other content; send a key of its own"


class RecallBody(BaseModel):
    """What ``POST /v1/recall`` takes."""

    model_config = ConfigDict(extra="forbid")

    user_id: str = Field(min_length=1, max_length=200)
    query: str
    session_id: str | None = None
    max_memories: int | None = None
    max_tokens: int | None = None
    tiers: list[Tier] | None = Field(default=None, description="Only these; all if not given.")
    as_of: str | None = Field(
        default=None,
        description="Answer with what held then: YYYY-MM-DD (the end of that day in UTC), or a "
        "date and time in ISO 8601.",
    )


class ReceiptsBody(BaseModel):
    """What ``POST /v1/transcripts:states`` takes."""

    model_config = ConfigDict(extra="forbid")

    receipts: list[str] = Field(max_length=MAX_RECEIPTS)


def make_server(container: Container) -> uvicorn.Server:
    """The API on the address that the settings name, not yet started."""
    front = Front(HealthWatch(container.settings))
    front.health.note_open(container)
    front.let_in(create_api(container, front.health))
    return make_listener(container.settings, front)


def make_listener(settings: Settings, front: Front) -> uvicorn.Server:
    """What listens, whether there is something behind the front or not yet."""
    if not (settings.needs_keys or settings.is_on_loopback):
        log.warning("api_open_to_everyone", host=settings.api_host, remedy="MEMSTILL_AUTH=keys")
    return uvicorn.Server(
        uvicorn.Config(
            front,
            host=settings.api_host,
            port=settings.api_port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=5,
        )
    )


def create_api(container: Container, health: HealthWatch | None = None) -> FastAPI:
    """The application on a connected container."""
    api = FastAPI(title="memstill", version="1", docs_url="/docs", redoc_url=None)
    api.state.container = container
    api.router.route_class = ScopedRoute
    api.add_middleware(TimedRequests)
    _handle_errors(api)
    _handle_conflicts(api)
    _handle_strangers(api)
    _add_health(api, health or HealthWatch(container.settings, container))
    add_metrics_route(api, container)
    _add_intake(api, container)
    _add_status(api, container)
    _add_recall(api, container)
    add_memory_routes(api, container)
    add_procedure_routes(api, container)
    add_session_routes(api, container)
    add_exchange_routes(api, container)
    add_profile_routes(api, container)
    add_cost_routes(api, container)
    add_batch_routes(api, container)
    add_promote_routes(api, container)
    add_redistill_routes(api, container)
    add_erase_routes(api, container)
    add_index_routes(api, container)
    add_dead_routes(api, container)
    add_job_routes(api, container)
    add_lifecycle_routes(api, container)
    add_checkpoint_routes(api, container)
    add_event_routes(api, container)
    describe(api, needs_keys=container.check_key is not None)
    return api


# ---- errors -----------------------------------------------------------------------------------


def _error(status: int, kind: str, field: str | None, reason: str) -> JSONResponse:
    return JSONResponse(
        {"error": {"type": kind, "field": field, "reason": reason}}, status_code=status
    )


def _handle_errors(api: FastAPI) -> None:
    from fastapi.exceptions import RequestValidationError

    @api.exception_handler(InvalidTranscript)
    def invalid_transcript(_: Request, error: InvalidTranscript) -> Response:
        return _error(422, "invalid_transcript", error.field, error.reason)

    @api.exception_handler(InputError)
    def input_error(_: Request, error: InputError) -> Response:
        is_conflict = isinstance(error, IdempotencyConflict)
        kind = "idempotency_conflict" if is_conflict else "invalid_request"
        return _error(409 if is_conflict else 422, kind, error.field, error.reason)

    @api.exception_handler(RequestValidationError)
    def invalid_request(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:]) or "body"
        return _error(422, "invalid_request", field, first["msg"])

    @api.exception_handler(AccessRefused)
    def access_refused(_: Request, error: AccessRefused) -> Response:
        if not isinstance(error, KeyRefused):
            return _error(403, "forbidden", error.field, error.reason)
        response = _error(401, "unauthorized", error.field, error.reason)
        response.headers["WWW-Authenticate"] = "Bearer"
        return response

    @api.exception_handler(NotFound)
    def not_found(_: Request, error: NotFound) -> Response:
        return _error(404, "not_found", None, str(error))

    @api.exception_handler(StoreRefused)
    def not_storable(_: Request, error: StoreRefused) -> Response:
        return _error(422, "invalid_request", "body", f"cannot be stored: {error}")

    @api.exception_handler(DependencyUnavailable)
    def unavailable(_: Request, error: DependencyUnavailable) -> Response:
        response = _error(503, "unavailable", None, f"{error}; try again")
        response.headers["Retry-After"] = str(max(1, ceil(error.retry_after_seconds or 0)))
        return response


def _handle_conflicts(api: FastAPI) -> None:
    """Somebody else was at it."""

    @api.exception_handler(OwnerBusy)
    def busy(_: Request, error: OwnerBusy) -> Response:
        response = _error(503, "unavailable", None, str(error))
        response.headers["Retry-After"] = "1"
        return response

    @api.exception_handler(ErasedMeanwhile)
    def erased(_: Request, error: ErasedMeanwhile) -> Response:
        return _error(409, "erased", None, str(error))


def _handle_strangers(api: FastAPI) -> None:
    """No such path, not with this method, no JSON: said as everything else is."""

    @api.exception_handler(HTTPException)
    def refused(_: Request, error: HTTPException) -> Response:
        if error.status_code == NO_JSON:
            return _error(422, "invalid_request", "body", "is no JSON in UTF-8")
        kind = "not_found" if error.status_code == NO_SUCH_PATH else "invalid_request"
        response = _error(error.status_code, kind, None, str(error.detail))
        response.headers.update(error.headers or {})
        return response


# ---- routes -----------------------------------------------------------------------------------


def _add_health(api: FastAPI, health: HealthWatch) -> None:
    # Neither waits for anybody, and so both need no thread: all of those may hang on a server.
    @api.get("/healthz")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @api.get("/readyz")
    async def ready(response: Response) -> dict[str, Any]:
        found = health.read()
        response.status_code = status_code(found)
        return health_view(found)


def _add_intake(api: FastAPI, container: Container) -> None:
    @api.post("/v1/transcripts", status_code=202)
    async def push(
        request: Request,
        caller: Writer,
        lane: Lane = Lane.INTERACTIVE,
    ) -> dict[str, Any]:
        raw = await _read_body(request, container.policies.intake.max_bytes)
        trace = read_traceparent(request.headers.get(TRACE_FIELD))
        answer = await run_in_threadpool(_accept_one, container, raw, caller, lane, trace)
        return {"receipt": str(answer.receipt), "duplicate": answer.is_duplicate}

    @api.post("/v1/transcripts:bulk")
    async def push_many(
        request: Request,
        caller: Writer,
        lane: Lane = Lane.INTERACTIVE,
    ) -> dict[str, Any]:
        raw = await _read_body(request, MAX_BULK_BYTES)
        trace = read_traceparent(request.headers.get(TRACE_FIELD))
        lines = await run_in_threadpool(_accept_lines, container, raw, caller, lane, trace)
        return {"results": lines}


def _add_status(api: FastAPI, container: Container) -> None:
    @api.get("/v1/transcripts/{receipt}")
    def status(receipt: str, caller: Follower) -> dict[str, Any]:
        key = read_id(receipt)
        return status_view(container.inbox.status(caller.tenant_id, key, caller.user_id))

    @api.post("/v1/transcripts:states")
    def states(body: ReceiptsBody, caller: Follower) -> dict[str, Any]:
        receipts = [read_id(receipt) for receipt in body.receipts]
        return {"states": container.inbox.states(caller.tenant_id, receipts, caller.user_id)}


def _add_recall(api: FastAPI, container: Container) -> None:
    def answer(body: RecallBody, caller: Caller) -> dict[str, Any]:
        caller.narrow(body.user_id)
        limits = container.policies.recall
        question = Question(
            owner=Owner(caller.tenant_id, body.user_id),
            query=body.query,
            session_id=body.session_id,
            max_memories=limits.max_memories if body.max_memories is None else body.max_memories,
            max_tokens=limits.max_tokens if body.max_tokens is None else body.max_tokens,
            as_of=None if body.as_of is None else read_moment(body.as_of, "as_of"),
        )
        tiers = ALL_TIERS if body.tiers is None else frozenset(body.tiers)
        return recalled_view(container.recall_tiers.run(question, tiers))

    @api.get("/v1/recall")
    def recall_get(query: Annotated[RecallBody, Query()], caller: Reader) -> dict[str, Any]:
        return answer(query, caller)

    @api.post("/v1/recall")
    def recall_post(body: RecallBody, caller: Reader) -> dict[str, Any]:
        return answer(body, caller)


# ---- bodies -----------------------------------------------------------------------------------


async def _read_body(request: Request, limit: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    stream: AsyncIterator[bytes] = request.stream()
    async for chunk in stream:
        size += len(chunk)
        if size > limit:
            raise InvalidTranscript("body", f"is larger than {limit:,} bytes; send less at once")
        chunks.append(chunk)
    return b"".join(chunks)


def _parse(
    container: Container, raw: bytes, caller: Caller, lane: Lane, trace: str | None
) -> Transcript:
    pushed = parse_transcript(
        raw, now=SystemClock().now(), max_bytes=container.policies.intake.max_bytes
    )
    return to_transcript(
        pushed,
        default_tenant=caller.tenant_id,
        caller=caller.tenant_id if caller.is_named else None,
        user=caller.user_id,
        lane=lane,
        traceparent=trace,
    )


def _accept_one(
    container: Container, raw: bytes, caller: Caller, lane: Lane, trace: str | None
) -> Accepted:
    transcript = _parse(container, raw, caller, lane, trace)
    with ingesting(container.ground.tracer):
        answer = container.ingest.run([transcript])[0]
    if answer.receipt != transcript.id:
        raise IdempotencyConflict("idempotency_key", KEY_REUSED)
    return answer


def _accept_lines(
    container: Container, raw: bytes, caller: Caller, lane: Lane, trace: str | None
) -> list[dict[str, Any]]:
    lines = [(number, line) for number, line in enumerate(raw.splitlines(), 1) if line.strip()]
    if len(lines) > MAX_BULK_LINES:
        raise InputError("body", f"has {len(lines)} lines; send at most {MAX_BULK_LINES} at once")
    results: dict[int, dict[str, Any]] = {}
    good: list[tuple[int, Transcript]] = []
    for number, line in lines:
        try:
            good.append((number, _parse(container, line, caller, lane, trace)))
        except InvalidTranscript as error:
            results[number] = _refused_line("invalid_transcript", error.field, error.reason)
    with ingesting(container.ground.tracer):
        answers = container.ingest.run([transcript for _, transcript in good])
    for (number, transcript), answer in zip(good, answers, strict=True):
        results[number] = _answered_line(transcript, answer)
    return [{"line": number, **results[number]} for number, _ in lines]


def _answered_line(transcript: Transcript, answer: Accepted) -> dict[str, Any]:
    if answer.receipt != transcript.id:
        return _refused_line("idempotency_conflict", "idempotency_key", KEY_REUSED)
    return {"receipt": str(answer.receipt), "duplicate": answer.is_duplicate}


def _refused_line(kind: str, field: str, reason: str) -> dict[str, Any]:
    return {"error": {"type": kind, "field": field, "reason": reason}}
