"""The HTTP API: push transcripts, follow receipts, recall, export."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import uvicorn
from fastapi import FastAPI, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from config.retrieval import Tier
from memstill_client.errors import InvalidTranscript
from memstill_client.wire import TRACE_FIELD, TranscriptV1, content_hash, parse_transcript
from pipelines.errors import IdempotencyConflict, InputError
from pipelines.flows.recall import Question
from pipelines.flows.recall_tiers import ALL_TIERS
from pipelines.model import Lane, Owner
from workers.admission import Admission
from workers.batch_routes import add_batch_routes
from workers.callers import Anyone, Caller, Follower, Reader, ScopedRoute, Writer, read_id
from workers.checkpoint_routes import add_checkpoint_routes
from workers.clock import SystemClock
from workers.cost_routes import add_cost_routes
from workers.dead_routes import add_dead_routes
from workers.erase_routes import add_erase_routes
from workers.event_routes import add_event_routes
from workers.exchange_routes import add_exchange_routes
from workers.front import Front
from workers.health import HealthWatch, health_view, status_code
from workers.idempotency import RequestKey, one_key
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
from workers.problems import handle_problems
from workers.procedure_routes import add_procedure_routes
from workers.profile_routes import add_profile_routes
from workers.promote_routes import add_promote_routes
from workers.redistill_routes import add_redistill_routes
from workers.requests import Requests
from workers.session_routes import add_session_routes
from workers.tracing import read_traceparent
from workers.views import recalled_view, status_view

if TYPE_CHECKING:
    from config.settings import Settings
    from pipelines.model import Transcript
    from pipelines.ports import Accepted
    from workers.container import Container

log = structlog.get_logger(__name__)

MAX_BULK_LINES = 1_000
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
            Requests(front, settings.api_in_flight),
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
    api.state.admission = Admission(container.policies.request)
    api.add_middleware(TimedRequests)
    handle_problems(api)
    _add_health(api, health or HealthWatch(container.settings, container))
    _add_caller(api)
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


def _add_caller(api: FastAPI) -> None:
    @api.get("/v1/caller")
    def show(caller: Anyone) -> dict[str, Any]:
        return {
            "tenant_id": caller.tenant_id,
            "user_id": caller.user_id,
            "scopes": sorted(caller.scopes),
        }


def _add_intake(api: FastAPI, container: Container) -> None:
    @api.post("/v1/transcripts", status_code=202)
    async def push(
        request: Request,
        caller: Writer,
        key: RequestKey = None,
        lane: Lane = Lane.INTERACTIVE,
    ) -> dict[str, Any]:
        raw = await request.body()
        push = _Push(caller, lane, read_traceparent(request.headers.get(TRACE_FIELD)), key)
        answer = await run_in_threadpool(_accept_one, container, raw, push)
        return {"receipt": str(answer.receipt), "duplicate": answer.is_duplicate}

    @api.post("/v1/transcripts:bulk")
    async def push_many(
        request: Request,
        caller: Writer,
        lane: Lane = Lane.INTERACTIVE,
    ) -> dict[str, Any]:
        raw = await request.body()
        push = _Push(caller, lane, read_traceparent(request.headers.get(TRACE_FIELD)))
        return {"results": await run_in_threadpool(_accept_lines, container, raw, push)}


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


# ---- transcripts ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Push:
    """What a request says of its transcripts, beside what stands in them."""

    caller: Caller
    lane: Lane
    trace: str | None
    key: str | None = None


def _parse(container: Container, raw: bytes, push: _Push) -> Transcript:
    pushed = parse_transcript(
        raw, now=SystemClock().now(), max_bytes=container.policies.intake.max_bytes
    )
    if push.key is not None:
        pushed = _under_key(pushed, push.key)
    caller = push.caller
    return to_transcript(
        pushed,
        default_tenant=caller.tenant_id,
        caller=caller.tenant_id if caller.is_named else None,
        user=caller.user_id,
        lane=push.lane,
        traceparent=push.trace,
    )


def _under_key(pushed: TranscriptV1, key: str) -> TranscriptV1:
    """As it would be with the key of the header in it."""
    is_derived = pushed.idempotency_key == content_hash(pushed)
    named = one_key(key, None if is_derived else pushed.idempotency_key, "idempotency_key")
    return replace(pushed, idempotency_key=named or key)


def _accept_one(container: Container, raw: bytes, push: _Push) -> Accepted:
    transcript = _parse(container, raw, push)
    with ingesting(container.ground.tracer):
        answer = container.ingest.run([transcript])[0]
    if answer.receipt != transcript.id:
        raise IdempotencyConflict("idempotency_key", KEY_REUSED)
    return answer


def _accept_lines(container: Container, raw: bytes, push: _Push) -> list[dict[str, Any]]:
    lines = [(number, line) for number, line in enumerate(raw.splitlines(), 1) if line.strip()]
    if len(lines) > MAX_BULK_LINES:
        raise InputError("body", f"has {len(lines)} lines; send at most {MAX_BULK_LINES} at once")
    results: dict[int, dict[str, Any]] = {}
    good: list[tuple[int, Transcript]] = []
    for number, line in lines:
        try:
            good.append((number, _parse(container, line, push)))
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
