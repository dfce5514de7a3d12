"""``BatchEndpoint`` on any endpoint that has OpenAI's Batch API: files in, files out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.adapters.openai_chat import make_body, read_completion
from pipelines.adapters.openai_client import ask_with_retries
from pipelines.errors import BadReply, ModelRefused, ModelUnavailable, NoBatches
from pipelines.ports import BatchAnswer, BatchOutcome, BatchProgress
from pipelines.stages.cost import Usage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import datetime

    import httpx2
    import openai

    from config.operation import RetryPolicy
    from pipelines.ports import BatchId, PreparedRequest

log = structlog.get_logger(__name__)
Model = TypeVar("Model", bound=BaseModel)

ROAD: Final = "/v1/chat/completions"
WINDOW: Final = "24h"
# The key in the metadata of a batch under which it carries our id.
NAME_KEY: Final = "memstill_batch"
_MISSING = frozenset({400, 404, 405})
_NOT_FOUND = 404
_OK = 200
_OUTCOMES = {
    "completed": BatchOutcome.COMPLETED,
    "expired": BatchOutcome.EXPIRED,
    "cancelled": BatchOutcome.CANCELLED,
    "failed": BatchOutcome.FAILED,
}
_PAGE = 100
_MAX_PAGES = 50
# The provider's clock may be behind ours.
_CLOCK_SKEW = timedelta(minutes=10)


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _File(_Wire):
    id: str = Field(min_length=1)
    filename: str = ""


class _Batch(_Wire):
    id: str = Field(min_length=1)
    status: str = ""
    created_at: float = 0
    output_file_id: str | None = None
    error_file_id: str | None = None
    metadata: dict[str, Any] | None = None


class _Files(_Wire):
    data: list[_File]
    has_more: bool = False


class _Batches(_Wire):
    data: list[_Batch]
    has_more: bool = False


class _Response(_Wire):
    status_code: int
    body: dict[str, Any] = {}


class _Line(_Wire):
    custom_id: str
    response: _Response | None = None


class OpenAiBatches:
    """Hands in requests of one model; what may cost twice is tried once only."""

    def __init__(
        self, client: openai.OpenAI, model: str, retry: RetryPolicy, budget_seconds: float = 40.0
    ) -> None:
        self._client = client
        self._model = model
        self._retry = retry
        self._once = replace(retry, in_call_attempts=1)
        self._budget_seconds = budget_seconds

    @property
    def name(self) -> str:
        return self._model

    # ---- handing in ---------------------------------------------------------------------------

    def find_upload(self, batch_id: BatchId) -> str | None:
        name, after = _file_name(batch_id), ""
        for _ in range(_MAX_PAGES):
            page = self._get_files(after)
            found = next((item.id for item in page.data if item.filename == name), None)
            if found or not page.has_more or not page.data:
                return found
            after = page.data[-1].id
        return None

    def upload(self, batch_id: BatchId, requests: Sequence[PreparedRequest]) -> str:
        content = b"\n".join(self._line(request) for request in requests) + b"\n"

        def post(timeout: httpx2.Timeout) -> bytes:
            file = (_file_name(batch_id), content, "application/jsonl")
            files = self._client.files.with_raw_response
            return files.create(file=file, purpose="batch", timeout=timeout).content

        return _read(_File, self._ask_for_batches(post, self._once)).id

    def find_created(self, batch_id: BatchId, since: datetime) -> list[str]:
        earliest = (since - _CLOCK_SKEW).timestamp()
        found: list[str] = []
        after = ""
        for _ in range(_MAX_PAGES):
            page = self._get_batches(after)
            ours = [it.id for it in page.data if (it.metadata or {}).get(NAME_KEY) == str(batch_id)]
            found += ours
            # The newest come first.
            if not page.has_more or not page.data or page.data[-1].created_at < earliest:
                break
            after = page.data[-1].id
        return found[::-1]

    def create(self, batch_id: BatchId, file_id: str) -> str:
        def post(timeout: httpx2.Timeout) -> bytes:
            return self._client.batches.with_raw_response.create(
                input_file_id=file_id,
                endpoint=ROAD,
                completion_window=WINDOW,
                metadata={NAME_KEY: str(batch_id)},
                # Where the endpoint knows it, the same batch is never created twice.
                extra_headers={"Idempotency-Key": str(batch_id)},
                timeout=timeout,
            ).content

        return _read(_Batch, self._ask_for_batches(post, self._once)).id

    def _line(self, request: PreparedRequest) -> bytes:
        line = {
            "custom_id": request.request_hash,
            "method": "POST",
            "url": ROAD,
            "body": make_body(self._model, request.request),
        }
        return json.dumps(line).encode()

    def _get_files(self, after: str) -> _Files:
        def get(timeout: httpx2.Timeout) -> bytes:
            files = self._client.files.with_raw_response
            page = {"after": after} if after else {}
            return files.list(
                purpose="batch", order="desc", limit=_PAGE, extra_query=page, timeout=timeout
            ).content

        return _read(_Files, self._ask_for_batches(get, self._retry))

    def _get_batches(self, after: str) -> _Batches:
        def get(timeout: httpx2.Timeout) -> bytes:
            batches = self._client.batches.with_raw_response
            page = {"after": after} if after else {}
            return batches.list(limit=_PAGE, extra_query=page, timeout=timeout).content

        return _read(_Batches, self._ask_for_batches(get, self._retry))

    def _ask_for_batches(self, ask: Callable[[httpx2.Timeout], bytes], retry: RetryPolicy) -> bytes:
        try:
            return ask_with_retries(ask, retry, self._budget_seconds)
        except ModelRefused as error:
            if error.status in _MISSING:
                said = f"no Batch API for {self._model}: the endpoint answered {error.status}"
                raise NoBatches(said, status=error.status) from None
            raise

    # ---- taking back --------------------------------------------------------------------------

    def look(self, provider_id: str) -> BatchProgress:
        batches = self._client.batches.with_raw_response
        try:
            body = self._ask(lambda it: batches.retrieve(provider_id, timeout=it).content)
        except ModelRefused as error:
            if error.status != _NOT_FOUND:
                raise
            return BatchProgress(BatchOutcome.FAILED)
        batch = _read(_Batch, body)
        outcome = _OUTCOMES.get(batch.status)
        files = (batch.output_file_id, batch.error_file_id) if outcome else ()
        return BatchProgress(outcome, tuple(file_id for file_id in files if file_id))

    def read(self, files: Sequence[str]) -> Iterator[BatchAnswer]:
        for file_id in files:
            unreadable = 0
            for line in self._download(file_id).splitlines():
                answer = self._read_line(line) if line.strip() else None
                if answer is not None:
                    yield answer
                unreadable += bool(line.strip()) and answer is None
            if unreadable:
                log.warning("batch_lines_unreadable", file=file_id, lines=unreadable)

    def cancel(self, provider_id: str) -> None:
        batches = self._client.batches.with_raw_response
        try:
            ask_with_retries(
                lambda it: batches.cancel(provider_id, timeout=it).content,
                self._once,
                self._budget_seconds,
            )
        except (ModelRefused, ModelUnavailable) as error:
            # Perhaps it is over already: that is a conflict to some.
            log.info("batch_not_cancelled", error=str(error))

    def forget(self, files: Sequence[str]) -> None:
        for file_id in files:
            try:
                self._delete(file_id)
            except (ModelRefused, ModelUnavailable) as error:
                log.warning("batch_file_kept", file=file_id, error=str(error))

    def _delete(self, file_id: str) -> None:
        api = self._client.files.with_raw_response
        self._ask(lambda it: api.delete(file_id, timeout=it).content)

    def _download(self, file_id: str) -> bytes:
        """What a file holds; one that is gone was read before, and then deleted."""
        api = self._client.files.with_raw_response
        try:
            return self._ask(lambda it: api.content(file_id, timeout=it).content)
        except ModelRefused as error:
            if error.status != _NOT_FOUND:
                raise
            return b""

    def _read_line(self, raw: bytes) -> BatchAnswer | None:
        try:
            line = _Line.model_validate_json(raw)
        except ValidationError:
            return None
        if line.response is None or line.response.status_code != _OK:
            return BatchAnswer(line.custom_id, None)
        try:
            reply = read_completion(json.dumps(line.response.body).encode(), self._model)
        except BadReply as error:
            usage = Usage(error.prompt_tokens, error.completion_tokens)
            return BatchAnswer(line.custom_id, None, usage)
        return BatchAnswer(line.custom_id, reply)

    def _ask(self, ask: Callable[[httpx2.Timeout], bytes]) -> bytes:
        return ask_with_retries(ask, self._retry, self._budget_seconds)


def _file_name(batch_id: BatchId) -> str:
    return f"memstill-{batch_id}.jsonl"


def _read(model: type[Model], body: bytes) -> Model:
    try:
        return model.model_validate_json(body)
    except ValidationError:
        raise ModelUnavailable("the endpoint's answer is none of the Batch API") from None
