"""The one client of OpenAI-compatible endpoints: bounded calls, few retries, translated errors.

An error that leaves this module says which status came back, never what was sent, what was
answered or with which key: the driver's own errors carry all three and are not chained.
"""

from __future__ import annotations

import re
import time
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeVar

import httpx2
import openai
import orjson
import structlog
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_any,
    stop_before_delay,
    wait_exponential,
    wait_random,
)
from tenacity.stop import stop_base

from pipelines.adapters.floor import floor
from pipelines.errors import ModelRefused, ModelUnavailable
from pipelines.ports import go_on

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterator, Mapping

    from config.operation import RetryPolicy

_log = structlog.get_logger(__name__)
_Answer = TypeVar("_Answer")

DEFAULT_BASE_URL = "https://api.openai.com/v1"
# The client fills a missing key from the environment of whoever runs it, and would then send
# that key to any base_url: a local endpoint without a key gets this instead.
_NO_KEY = "none"
_JSON = {"Content-Type": "application/json"}
_CONNECT_SECONDS = 5.0
_LONGEST_WAIT_SECONDS = 10.0
_TOO_MANY = 429
_PASSING = frozenset({408, 409, _TOO_MANY})
_SERVER_FAULT = 500
_REMEDIES = {
    401: "check MEMSTILL_MODEL_API_KEY (or MEMSTILL_EMBED_API_KEY)",
    403: "the key may not use this model",
    404: "check MEMSTILL_MODEL_BASE_URL and the model's name",
}
_ERROR_CODE = re.compile(r"\A[a-z]+(_[a-z]+)+\Z")


def make_openai_client(
    base_url: str | None, api_key: str | None, timeout_seconds: float
) -> openai.OpenAI:
    """One per process and endpoint, shared by its threads; the caller closes it.

    ``timeout_seconds`` bounds one exchange from sending to the last byte of the body, however
    slowly that trickles in.
    """
    http = openai.DefaultHttpx2Client(
        timeout=bounded_timeout(timeout_seconds), event_hooks=_HOOKS, verify=_load_authorities()
    )
    return openai.OpenAI(
        base_url=base_url or DEFAULT_BASE_URL,
        api_key=api_key or _NO_KEY,
        max_retries=0,
        timeout=bounded_timeout(timeout_seconds),
        http_client=http,
    )


def make_bounded_client(timeout_seconds: float) -> httpx2.Client:
    """For endpoints that the driver does not know: bounded alike; the caller closes it."""
    return httpx2.Client(
        timeout=bounded_timeout(timeout_seconds), event_hooks=_HOOKS, verify=_load_authorities()
    )


@lru_cache(maxsize=1)
def _load_authorities() -> ssl.SSLContext:
    """The authorities of the system, once: loading them takes longer than all else at start."""
    return httpx2.create_ssl_context()


def post_json(
    client: openai.OpenAI, path: str, body: Mapping[str, Any], timeout: httpx2.Timeout
) -> bytes:
    """What the endpoint answers to this body.

    As the driver's own methods ask, but for what they do to every part of a body and an answer:
    that takes longer than all else of a call.
    """
    content = orjson.dumps(body)
    with floor.left():
        answer = client.post(
            path,
            cast_to=httpx2.Response,
            content=content,
            options={"timeout": timeout, "headers": _JSON},
        )
    return answer.content


def bounded_timeout(seconds: float) -> httpx2.Timeout:
    """An answer may take all the time there is; connecting may not."""
    return httpx2.Timeout(seconds, connect=min(_CONNECT_SECONDS, seconds))


def ask_with_retries(
    ask: Callable[[httpx2.Timeout], _Answer],
    retry: RetryPolicy,
    budget_seconds: float,
    before_retry: Callable[[], None] = go_on,
) -> _Answer:
    """Call ``ask`` until it does not raise ``ModelUnavailable``, within tries and budget.

    Each try gets what is left of the budget as its timeout. A wait that the endpoint asks for
    is kept if it is short; a longer one ends the tries, and the error carries it. What
    ``before_retry`` raises ends them, too.

    Raises:
        ModelUnavailable: Of the last try.
        ModelRefused: At once.
    """
    started = time.monotonic()

    def attempt() -> _Answer:
        left = max(budget_seconds - (time.monotonic() - started), 0.1)
        try:
            return ask(bounded_timeout(left))
        except openai.OpenAIError as error:
            raise _translate(error, retry) from None

    def wait(seconds: float) -> None:
        with floor.left():
            time.sleep(seconds)
        before_retry()

    attempts = Retrying(
        sleep=wait,
        retry=retry_if_exception_type(ModelUnavailable),
        wait=_wait_for(retry),
        stop=stop_any(
            stop_after_attempt(retry.in_call_attempts),
            stop_before_delay(budget_seconds),
            _stop_at_long_wait(),
        ),
        before_sleep=_log_retry,
        reraise=True,
    )
    return attempts(attempt)


def _wait_for(retry: RetryPolicy) -> Callable[[RetryCallState], float]:
    base = retry.in_call_wait.total_seconds()
    growing = wait_exponential(multiplier=base, max=_LONGEST_WAIT_SECONDS / 2)
    jitter = wait_random(0, base / 4)

    def wait(state: RetryCallState) -> float:
        return max(growing(state) + jitter(state), _asked_wait(state))

    return wait


def _asked_wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    return (isinstance(error, ModelUnavailable) and error.retry_after_seconds) or 0.0


class _stop_at_long_wait(stop_base):  # noqa: N801 - as its siblings in tenacity
    def __call__(self, retry_state: RetryCallState) -> bool:
        return _asked_wait(retry_state) > _LONGEST_WAIT_SECONDS


def _log_retry(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    _log.warning(
        "model_call_failed",
        attempt=state.attempt_number,
        wait_seconds=round(state.upcoming_sleep, 3),
        reason=str(error),
    )


def _translate(error: openai.OpenAIError, retry: RetryPolicy) -> ModelUnavailable | ModelRefused:
    if isinstance(error, openai.APITimeoutError):
        return ModelUnavailable("the model endpoint did not answer in time")
    if not isinstance(error, openai.APIStatusError):
        return ModelUnavailable("the connection to the model endpoint failed or broke off")
    status, said = error.status_code, f"the model endpoint answered {_name_status(error)}"
    if status in _PASSING or status >= _SERVER_FAULT:
        asked = _retry_after(error.response.headers, retry.longest.total_seconds())
        # Who asks for patience is there: that is no attempt, and no outage either.
        is_busy = status == _TOO_MANY and asked is not None
        return ModelUnavailable(said, retry_after_seconds=asked, is_outage=is_busy)
    remedy = _REMEDIES.get(status)
    return ModelRefused(f"{said}: {remedy}" if remedy else said, status=status)


def _name_status(error: openai.APIStatusError) -> str:
    """The status with the endpoint's error code, if that is plainly a code and no content."""
    is_code = error.code is not None and _ERROR_CODE.match(error.code)
    return f"{error.status_code} ({error.code})" if is_code else str(error.status_code)


def _retry_after(headers: httpx2.Headers, longest_seconds: float) -> float | None:
    """Seconds or an HTTP date; None if absent, unreadable or in the past."""
    stated = headers.get("retry-after", "")
    try:
        seconds = float(stated)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(stated).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return min(seconds, longest_seconds) if seconds > 0 else None


def _start_clock(request: httpx2.Request) -> None:
    request.extensions["ends_at"] = time.monotonic() + request.extensions["timeout"]["read"]


def _bound_body(response: httpx2.Response) -> None:
    """The driver's read timeout bounds the silence between two chunks; this bounds their sum."""
    ends_at = response.request.extensions["ends_at"]
    left = max(ends_at - time.monotonic(), 0.01)
    response.request.extensions["timeout"]["read"] = left
    if isinstance(response.stream, httpx2.SyncByteStream):
        response.stream = _EndingStream(response.stream, ends_at)


class _EndingStream(httpx2.SyncByteStream):
    """A response body that has to be complete at a point of the monotonic clock."""

    def __init__(self, stream: httpx2.SyncByteStream, ends_at: float) -> None:
        self._stream = stream
        self._ends_at = ends_at

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            if time.monotonic() > self._ends_at:
                raise httpx2.ReadTimeout("the body took too long")
            yield chunk

    def close(self) -> None:
        self._stream.close()


_HOOKS: dict[str, list[Callable[..., None]]] = {
    "request": [_start_clock],
    "response": [_bound_body],
}
