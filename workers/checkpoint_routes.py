"""Routes about checkpoints: save, load, look at, fork, and clean up.

A state passes through as the bytes that were hashed: it is not spelled anew on its way out.
"""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING, Annotated, Any, Literal
from uuid import UUID

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from memstill_client.wire import NAMESPACE, Id
from pipelines.errors import CheckpointConflict, DamagedCheckpoint, InputError
from pipelines.flows.checkpoint import Loaded, NewCheckpoint
from pipelines.formats import CHECKPOINT
from pipelines.model import Owner
from pipelines.stages.checkpoints.canonical import NotJson, parse_json
from pipelines.stages.checkpoints.chain import NEWEST, Checkpoint, CheckpointId, Thread
from pipelines.stages.keys import KeyScope
from workers.callers import Caller, Exporter, Operator, Reader, Writer, read_id
from workers.idempotency import RequestKey
from workers.metrics.catalogue import CHECKPOINT_SAVE_SECONDS, Recovery, note_recovery

if TYPE_CHECKING:
    from pipelines.flows.clean_checkpoints import Cleaned
    from pipelines.ports import Saved, ThreadShown
    from workers.container import Container

MAX_PAGE = 1_000
CONFLICT, GONE = 409, 410


class CheckpointBody(BaseModel):
    """What ``POST /v1/checkpoints`` takes."""

    model_config = ConfigDict(extra="forbid")

    user_id: Id
    thread_id: Id
    state: Any = Field(description="Any JSON; it is given back as it is, and read by nobody.")
    node: Id | None = Field(default=None, description="Where in its work the agent is.")
    metadata: dict[str, Any] = Field(default_factory=dict)
    parent: UUID | Literal["newest"] | None = Field(
        default=NEWEST,
        description="What must be the newest checkpoint of the thread; null where it must have "
        "none; `newest` for whatever is.",
    )
    id: UUID | None = Field(
        default=None, description="Of your own: a save that is repeated with it is one save."
    )


class ForkBody(BaseModel):
    """What ``POST /v1/checkpoints:fork`` takes."""

    model_config = ConfigDict(extra="forbid")

    user_id: Id
    thread_id: Id
    to_thread_id: Id
    checkpoint: UUID | None = Field(default=None, description="The newest one if left out.")
    id: UUID | None = Field(default=None, description="Of the new thread's first checkpoint.")


class CleanBody(BaseModel):
    """What ``POST /v1/checkpoints:clean`` takes."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = False


class ThreadQuery(BaseModel):
    """Whose thread."""

    model_config = ConfigDict(extra="forbid")

    user_id: Id
    thread_id: Id


class LoadQuery(ThreadQuery):
    """Which checkpoint will do."""

    sound: bool = Field(
        default=False, description="Instead of a damaged one, the newest sound one before it."
    )


class HistoryQuery(ThreadQuery):
    """Which page of a thread."""

    before: int | None = Field(default=None, ge=1, le=2**31 - 1)
    limit: int = Field(default=50, ge=1, le=MAX_PAGE)


class ThreadsQuery(BaseModel):
    """Whose threads, and which page of them."""

    model_config = ConfigDict(extra="forbid")

    user_id: Id | None = None
    after_user_id: Id | None = None
    after_thread_id: Id | None = None
    limit: int = Field(default=200, ge=1, le=MAX_PAGE)


def add_checkpoint_routes(api: FastAPI, container: Container) -> None:
    """Add them to the application."""
    _handle_errors(api)
    _add_saving(api, container)
    _add_loading(api, container)
    _add_looking(api, container)

    @api.post("/v1/checkpoints:clean")
    def clean(body: CleanBody, caller: Operator) -> dict[str, Any]:
        del caller
        cleaning = container.checkpointing.clean
        return cleaned_view(cleaning.clean(cleaning.policy.asked_turn, dry_run=body.dry_run))


def _add_saving(api: FastAPI, container: Container) -> None:
    flow = container.checkpointing.flow

    @api.post("/v1/checkpoints", status_code=201)
    async def save(request: Request, caller: Writer, key: RequestKey = None) -> dict[str, Any]:
        raw = await request.body()
        return await run_in_threadpool(accept, raw, caller, key)

    def accept(raw: bytes, caller: Caller, key: str | None) -> dict[str, Any]:
        body = _parse(raw)
        new = NewCheckpoint(
            thread=_thread(caller, body.user_id, body.thread_id),
            state=body.state,
            node=body.node,
            metadata=body.metadata,
            parent=NEWEST if body.parent == NEWEST else _key(body.parent),
            id=_id_of(caller, body, key),
        )
        with CHECKPOINT_SAVE_SECONDS.time():
            saved = flow.save(new)
        return saved_view(saved)

    @api.post("/v1/checkpoints:fork", status_code=201)
    def fork(body: ForkBody, caller: Writer, key: RequestKey = None) -> dict[str, Any]:
        # What it writes it has to read first, and tells its hash.
        caller.require(KeyScope.READ, "forking a thread")
        source = _thread(caller, body.user_id, body.thread_id)
        made = _id_of(caller, body, key)
        with CHECKPOINT_SAVE_SECONDS.time():
            saved = flow.fork(source, _key(body.checkpoint), body.to_thread_id, made)
        return saved_view(saved)


def _add_loading(api: FastAPI, container: Container) -> None:
    flow = container.checkpointing.flow

    @api.get("/v1/checkpoints:latest")
    def latest(query: Annotated[LoadQuery, Query()], caller: Reader) -> Response:
        thread = _thread(caller, query.user_id, query.thread_id)
        found = flow.load(thread, sound=query.sound)
        is_newest = found.newest in {None, found.checkpoint.id}
        note_recovery(Recovery.CHECKPOINT if is_newest else Recovery.SOUND_CHECKPOINT)
        return loaded_response(found)

    @api.get("/v1/checkpoints/{checkpoint}")
    def show(checkpoint: str, query: Annotated[LoadQuery, Query()], caller: Reader) -> Response:
        thread = _thread(caller, query.user_id, query.thread_id)
        key = CheckpointId(read_id(checkpoint, "checkpoint"))
        return loaded_response(flow.load(thread, key, sound=query.sound))


def _add_looking(api: FastAPI, container: Container) -> None:
    store = container.checkpointing.flow.store

    @api.get("/v1/checkpoints")
    def history(query: Annotated[HistoryQuery, Query()], caller: Reader) -> dict[str, Any]:
        thread = _thread(caller, query.user_id, query.thread_id)
        page = store.list_newest(thread, query.limit, query.before)
        more = page[-1].sequence if len(page) == query.limit else None
        return {"checkpoints": [checkpoint_view(item) for item in page], "next": more}

    @api.get("/v1/checkpoints:threads")
    def threads(query: Annotated[ThreadsQuery, Query()], caller: Exporter) -> dict[str, Any]:
        whose = caller.narrow(query.user_id)
        if whose is None:
            caller.require(KeyScope.ADMIN, "listing the threads of all users")
        after = None
        if query.after_user_id and query.after_thread_id:
            after = Thread(Owner(caller.tenant_id, query.after_user_id), query.after_thread_id)
        page = store.list_threads(caller.tenant_id, whose, after, query.limit)
        last = page[-1].thread if len(page) == query.limit else None
        return {
            "threads": [thread_view(item) for item in page],
            "next_user_id": last.owner.user_id if last else None,
            "next_thread_id": last.id if last else None,
        }


# ---- what is asked ------------------------------------------------------------------------------


def _thread(caller: Caller, user_id: str, thread_id: str) -> Thread:
    return Thread(Owner(caller.tenant_id, caller.narrow(user_id) or user_id), thread_id)


def _id_of(caller: Caller, body: CheckpointBody | ForkBody, key: str | None) -> CheckpointId | None:
    """Of a checkpoint that is made: the one that was sent, or what follows from the header."""
    if key is None or body.id is not None:
        return _key(body.id)
    named = f"checkpoint\x1f{caller.tenant_id}\x1f{body.user_id}\x1f{body.thread_id}\x1f{key}"
    return CheckpointId(uuid.uuid5(NAMESPACE, named))


def _key(key: UUID | None) -> CheckpointId | None:
    return None if key is None else CheckpointId(key)


def _parse(raw: bytes) -> CheckpointBody:
    try:
        return CheckpointBody.model_validate(parse_json(raw))
    except NotJson as error:
        raise InputError("body", error.reason) from None
    except ValidationError as error:
        found = error.errors(include_input=False, include_context=False)
        located = [{**item, "loc": ("body", *item["loc"])} for item in found]
        raise RequestValidationError(located) from None


# ---- what is answered ---------------------------------------------------------------------------


def _handle_errors(api: FastAPI) -> None:
    @api.exception_handler(CheckpointConflict)
    def conflict(_: Request, error: CheckpointConflict) -> Response:
        return _problem(CONFLICT, "checkpoint_conflict", "parent", str(error), error.newest)

    @api.exception_handler(DamagedCheckpoint)
    def damaged(_: Request, error: DamagedCheckpoint) -> Response:
        return _problem(GONE, "damaged_checkpoint", "checkpoint", str(error), error.sound)


def _problem(status: int, kind: str, field: str, reason: str, key: UUID | None) -> Response:
    told = {"type": kind, "field": field, "reason": reason, "checkpoint": key and str(key)}
    return JSONResponse({"error": told}, status_code=status)


def checkpoint_view(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint without its state."""
    return {
        "schema_version": CHECKPOINT.version,
        "id": str(checkpoint.id),
        "user_id": checkpoint.thread.owner.user_id,
        "thread_id": checkpoint.thread.id,
        "parent": checkpoint.parent and str(checkpoint.parent),
        "origin": checkpoint.origin,
        "sequence": checkpoint.sequence,
        "node": checkpoint.node,
        "metadata": json.loads(checkpoint.metadata),
        "sha256": checkpoint.sha256,
        "bytes": checkpoint.size,
        "stored_bytes": checkpoint.stored,
        "is_delta": checkpoint.is_delta,
        "saved_at": checkpoint.saved_at.isoformat(),
    }


def saved_view(saved: Saved) -> dict[str, Any]:
    """The answer to a save."""
    return checkpoint_view(saved.checkpoint) | {"duplicate": saved.is_duplicate}


def loaded_response(loaded: Loaded) -> Response:
    """A checkpoint with its state, which stands at the end as it was hashed."""
    return Response(loaded_json(loaded), media_type="application/json")


def loaded_json(loaded: Loaded) -> bytes:
    """The answer to a load, as JSON."""
    shown = checkpoint_view(loaded.checkpoint)
    head = json.dumps(shown | {"newest": loaded.newest and str(loaded.newest)}).encode()
    return b"".join((head[:-1], b', "state": ', loaded.state, b"}"))


def thread_view(shown: ThreadShown) -> dict[str, Any]:
    """A thread and what it takes."""
    return {
        "user_id": shown.thread.owner.user_id,
        "thread_id": shown.thread.id,
        "newest": str(shown.newest),
        "sequence": shown.sequence,
        "kept": shown.kept,
        "stored_bytes": shown.stored,
        "saved_at": shown.saved_at.isoformat(),
    }


def cleaned_view(cleaned: Cleaned) -> dict[str, Any]:
    """What was cleaned up."""
    return {
        "threads": cleaned.threads,
        "checkpoints": cleaned.checkpoints,
        "bytes": cleaned.stored,
        "left": cleaned.left,
        "is_complete": cleaned.is_complete,
    }
